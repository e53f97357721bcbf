package limits_test

import (
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weir/web/limits"
)

// Whatever a header says, the client is the peer, or an address that the header
// names; and who is no proxy is never anybody else.
func FuzzClient(f *testing.F) {
	f.Add("10.0.0.0/8,192.0.2.7", "10.1.1.1:5", "8.8.8.8, 198.51.100.1, 10.2.2.2")
	f.Add("fd00::/8", "[fd00::1]:5", "[2001:db8::1]:80,fe80::1%eth0")
	f.Add("::ffff:10.0.0.0/104", "10.0.0.1:1", "1.1.1.1:99, ::ffff:10.0.0.2, ,")
	f.Add("0.0.0.0/0", "1.1.1.1:1", "x,2.2.2.2")
	f.Fuzz(func(t *testing.T, list, peer, forwarded string) {
		proxies, err := limits.ParseProxies(list)
		if err != nil {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = []string{forwarded}
		client := proxies.Client(r)
		port, err := netip.ParseAddrPort(peer)
		if err != nil {
			if client.IsValid() {
				t.Errorf("a peer %q has the address %v", peer, client)
			}
			return
		}
		own := port.Addr().Unmap().WithZone("")
		if client != client.Unmap().WithZone("") || limits.Key(limits.Key(client)) != limits.Key(client) {
			t.Errorf("%v has several forms", client)
		}
		if client == own {
			return
		}
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(own) }) {
			t.Errorf("%v is trusted by %v: the client is %v", own, proxies, client)
		}
		named := slices.ContainsFunc(strings.Split(forwarded, ","), func(hop string) bool {
			hop = strings.TrimSpace(hop)
			if port, err := netip.ParseAddrPort(hop); err == nil {
				return port.Addr().Unmap().WithZone("") == client
			}
			addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
			return err == nil && addr.Unmap().WithZone("") == client
		})
		if !named {
			t.Errorf("%q from %q: the client is %v", forwarded, peer, client)
		}
	})
}
