package limits_test

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"weir/web/limits"
)

func TestClientAddress(t *testing.T) {
	const proxies = "10.0.0.0/8, 192.0.2.7, fd00::/8, ::ffff:172.16.0.0/108"
	for _, tc := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.9:1", nil, "203.0.113.9"},
		{"forged by a client", "203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"forged by a neighbour of a proxy", "192.0.2.8:1", []string{"198.51.100.1"}, "192.0.2.8"},
		{"a proxy that says nothing", "10.1.1.1:1", nil, "10.1.1.1"},
		{"a proxy that says nothing much", "10.1.1.1:1", []string{""}, "10.1.1.1"},
		{"one proxy", "10.1.1.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy by address", "192.0.2.7:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what a client said before the proxy", "10.1.1.1:1", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"a client that claims to be a proxy's", "10.1.1.1:1", []string{"8.8.8.8, 198.51.100.1, 10.2.2.2"}, "198.51.100.1"},
		{"a chain of proxies", "10.1.1.1:1", []string{"198.51.100.1, 192.0.2.7, 10.2.2.2"}, "198.51.100.1"},
		{"nothing but proxies", "10.1.1.1:1", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"several lines", "10.1.1.1:1", []string{"8.8.8.8", "198.51.100.1", "10.2.2.2"}, "198.51.100.1"},
		{"several lines, lists", "10.1.1.1:1", []string{"8.8.8.8, 9.9.9.9", " 198.51.100.1 ,10.2.2.2"}, "198.51.100.1"},
		{"malformed on the left", "10.1.1.1:1", []string{"'; drop, 198.51.100.1"}, "198.51.100.1"},
		{"malformed on the right", "10.1.1.1:1", []string{"198.51.100.1, unknown"}, "10.1.1.1"},
		{"malformed behind a proxy", "10.1.1.1:1", []string{"198.51.100.1, _hidden, 10.2.2.2"}, "10.2.2.2"},
		{"empty entries", "10.1.1.1:1", []string{"198.51.100.1,,"}, "10.1.1.1"},
		{"an octet too large", "10.1.1.1:1", []string{"198.51.100.256"}, "10.1.1.1"},
		{"leading zeros", "10.1.1.1:1", []string{"198.051.100.001"}, "10.1.1.1"},
		{"IPv6", "[2001:db8::1]:1", []string{"198.51.100.1"}, "2001:db8::1"},
		{"an IPv6 proxy", "[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"IPv4-mapped peer", "[::ffff:10.1.1.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"IPv4-mapped entry", "10.1.1.1:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"IPv4-mapped entry of a proxy", "10.1.1.1:1", []string{"198.51.100.1, ::ffff:10.2.2.2"}, "198.51.100.1"},
		{"IPv4-mapped network", "172.16.3.4:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"beside the IPv4-mapped network", "172.32.3.4:1", []string{"198.51.100.1"}, "172.32.3.4"},
		{"with a port", "10.1.1.1:1", []string{"198.51.100.1:50123"}, "198.51.100.1"},
		{"proxy with a port", "10.1.1.1:1", []string{"198.51.100.1, 10.2.2.2:443"}, "198.51.100.1"},
		{"IPv6 with a port", "10.1.1.1:1", []string{"[2001:db8::1]:50123"}, "2001:db8::1"},
		{"IPv6 in brackets", "10.1.1.1:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv4 in brackets", "10.1.1.1:1", []string{"[198.51.100.1]"}, "10.1.1.1"},
		{"half a bracket", "10.1.1.1:1", []string{"[2001:db8::1"}, "10.1.1.1"},
		{"a port and no address", "10.1.1.1:1", []string{":80"}, "10.1.1.1"},
		{"very many", "10.1.1.1:1", []string{strings.Repeat("1.1.1.1,", 3000) + "198.51.100.1"}, "198.51.100.1"},
		{"not TCP", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		trusted, err := limits.ParseProxies(proxies)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tc.peer
		for _, value := range tc.forwarded {
			r.Header.Add("X-Forwarded-For", value)
		}
		if got := trusted.Client(r).String(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		// With nobody trusted, it is always the peer.
		if peer, err := netip.ParseAddrPort(tc.peer); err == nil {
			if got := (limits.Proxies)(nil).Client(r); got != peer.Addr().Unmap().WithZone("") {
				t.Errorf("%s: %s without trusted proxies", tc.name, got)
			}
		}
	}
}

func TestParseTrustedProxies(t *testing.T) {
	for _, bad := range []string{"", " , ", "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0", "10.0.0.0/8;", "0x7f.0.0.1", "2001:db8::/129", "http://10.0.0.1"} {
		if nets, err := limits.ParseProxies(bad); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
			t.Errorf("%q gives %v, %v", bad, nets, err)
		}
	}
	nets, err := limits.ParseProxies("10.1.2.3/8,::1, ::ffff:192.0.2.1")
	if err != nil || len(nets) != 3 || nets[0].String() != "10.0.0.0/8" || nets[1].String() != "::1/128" || nets[2].String() != "192.0.2.1/32" {
		t.Errorf("%v, %v", nets, err)
	}
}
