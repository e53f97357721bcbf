package netpoll

import (
	"net"
	"syscall"
)

// NewListener returns a listener whose TCP connections are read and written
// without telling Go's scheduler of each system call.
//
// Gain: the sockets do not block, so the scheduler need not know of the calls.
// When it is told, the runtime looks after them every 20 µs, which costs a
// server that wakes a thousand times a second more than the calls themselves
// ("weir bench" at 1,000 × 1,000/s: a fifth of the CPU).
// Relies on: package net's sockets being non-blocking, and RawConn's Read and
// Write waiting until the socket is ready.
// Guarded by: TestListenerConn, which runs x/net's nettest on its connections.
//
// Connections other than TCP are passed on as they are, and so are all on
// systems other than Linux.
func NewListener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		return quiet(t), nil
	}
	return c, err
}

// Raw returns the system's connection below c, or nil where there is none.
func Raw(c net.Conn) syscall.RawConn {
	if socket, ok := c.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// Descriptor returns the file descriptor of c, which is open until c is closed,
// when c is a TCP connection and nothing that wraps one: a *net.TCPConn, or a
// connection of NewListener. Writing to it leaves nobody out.
func Descriptor(c net.Conn) (fd int, ok bool) {
	switch c.(type) {
	case *net.TCPConn, *quietConn:
	default:
		return -1, false
	}
	raw := Raw(c)
	if raw == nil || raw.Control(func(f uintptr) { fd = int(f) }) != nil {
		return -1, false
	}
	return fd, true
}
