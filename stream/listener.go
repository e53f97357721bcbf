package stream

import "net"

// NewListener returns a listener for an [net/http.Server] whose connections are
// read and written without telling Go's scheduler of each system call: the
// sockets do not block, so it need not know. When it is told, the runtime looks
// after such calls every 20 µs, which costs a server that wakes a thousand
// times a second more than the calls do.
//
// With [ConnContext] a stream that net/http writes (HTTP/1.1 without TLS) has no
// second goroutine that reads from its connection.
//
// Connections other than TCP are passed on as they are, and so are all on
// systems other than Linux.
func NewListener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		return unwatched(t), nil
	}
	return c, err
}
