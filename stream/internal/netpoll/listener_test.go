package netpoll_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"weir/stream/internal/netpoll"
)

// TestListenerConn has the connections of NewListener do all that a net.Conn has to.
func TestListenerConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		l := netpoll.NewListener(inner)
		dialled := make(chan net.Conn, 1)
		go func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
			}
			dialled <- c
		}()
		c1, err = l.Accept()
		if err != nil {
			return nil, nil, nil, err
		}
		c2 = <-dialled
		return c1, c2, func() {
			_ = c1.Close()
			_ = c2.Close()
			_ = l.Close()
		}, nil
	})
}
