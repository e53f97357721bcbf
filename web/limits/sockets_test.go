package limits_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"weir/web/limits"
)

// A peer is a connection of somebody.
type peer struct {
	net.Conn
	addr   string
	closed bool
}

func (p *peer) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(p.addr), 1))
}

func (p *peer) Close() error {
	p.closed = true
	return nil
}

// Who floods takes a share of the spare sockets only: another client's probe
// still gets one.
func TestSpareSocketsAreShared(t *testing.T) {
	s := limits.NewSockets(40, 0, limits.Proxies{})
	open := func(addr string) *peer {
		p := &peer{addr: addr}
		s.ConnContext(context.Background(), p)
		s.ConnState(p, http.StateNew)
		return p
	}
	left := 0
	for range 60 {
		if p := open("192.0.2.1"); !p.closed {
			left++
			defer s.ConnState(p, http.StateClosed)
		}
	}
	if left != 42 {
		t.Errorf("one client has %d sockets, want the 40 there are and 2 of the spare ones", left)
	}
	for _, addr := range []string{"192.0.2.2", "2001:db8::1"} {
		p := open(addr)
		if p.closed {
			t.Errorf("a socket of %s is closed, though there are spare ones", addr)
		}
		defer s.ConnState(p, http.StateClosed)
	}
}
