package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// TrustedProxies are the networks whose X-Forwarded-For is believed.
type TrustedProxies []netip.Prefix

// ParseTrustedProxies reads networks ("10.0.0.0/8") and addresses, separated
// by commas.
func ParseTrustedProxies(list string) (TrustedProxies, error) {
	var nets TrustedProxies
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
		nets = append(nets, prefix.Masked())
	}
	return nets, nil
}

func (t TrustedProxies) trusts(addr netip.Addr) bool {
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
func (t TrustedProxies) Client(r *http.Request) netip.Addr {
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
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = addr.Unmap().WithZone("")
		if !t.trusts(client) {
			break
		}
	}
	return client
}

// key is what limits count by: an IPv4 address, or the network of an IPv6
// subscriber, who has 2^64 addresses to choose from.
func clientKey(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}
