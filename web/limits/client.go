package limits

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks whose X-Forwarded-For is believed.
type Proxies []netip.Prefix

// ParseProxies reads networks ("10.0.0.0/8") and addresses, separated
// by commas. A list without any is an error.
func ParseProxies(list string) (Proxies, error) {
	var nets Proxies
	for _, part := range strings.Split(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if addr, err := netip.ParseAddr(part); err == nil {
			nets = append(nets, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", part)
		}
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 { // addresses are compared as IPv4
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		nets = append(nets, prefix.Masked())
	}
	if len(nets) == 0 {
		return nil, errors.New("want an address or a network such as 10.0.0.0/8")
	}
	return nets, nil
}

func (t Proxies) trusts(addr netip.Addr) bool {
	for _, p := range t {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Client returns the address of the client: the peer's, or, where the peer is
// a trusted proxy, the rightmost one of X-Forwarded-For that is none. A
// malformed entry ends the search, since what stands left of it was said by
// nobody trusted.
func (t Proxies) Client(r *http.Request) netip.Addr {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // not TCP
	}
	client := port.Addr().Unmap().WithZone("")
	if !t.trusts(client) {
		return client
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = addr.Unmap().WithZone("")
		if !t.trusts(client) {
			break
		}
	}
	return client
}

// parseHop reads one entry of X-Forwarded-For. Some proxies write the port too.
func parseHop(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr, true
	}
	if port, err := netip.ParseAddrPort(s); err == nil {
		return port.Addr(), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			addr, err := netip.ParseAddr(inner)
			return addr, err == nil && addr.Is6()
		}
	}
	return netip.Addr{}, false
}

// Key is what limits count by: an IPv4 address, or the /64 network of an IPv6
// subscriber, who has 2^64 addresses to choose from.
func Key(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}
