package stream

import (
	"context"
	"net"
	"syscall"

	"weir/stream/internal/netpoll"
)

type connKey struct{}

// A heldConn is what ConnContext keeps of a connection.
type heldConn struct {
	raw syscall.RawConn // of the socket, also below TLS
	fd  int             // of the connection itself; -1 where something wraps it
}

// ConnContext is for [http.Server.ConnContext]. With it a [Handler] notices
// clients that vanish without a word, and TransportLean can take connections
// over.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	held := heldConn{fd: -1}
	if fd, ok := netpoll.Descriptor(c); ok {
		held.fd = fd
	}
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = t.NetConn()
	}
	if held.raw = netpoll.Raw(c); held.raw == nil {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, held)
}

// NewListener returns a listener for an [http.Server] that serves many streams:
// its TCP connections are read and written with fewer interruptions of Go's
// scheduler, on Linux. Everything else is passed on as it is.
func NewListener(l net.Listener) net.Listener { return netpoll.NewListener(l) }
