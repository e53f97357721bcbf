//go:build !386 && !s390x

package netpoll

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// A quietConn is a TCP connection that is read and written by raw system
// calls. Waiting, deadlines and closing are package net's.
type quietConn struct {
	*net.TCPConn
	raw syscall.RawConn
}

func quiet(c *net.TCPConn) net.Conn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	return &quietConn{TCPConn: c, raw: raw}
}

// SyscallConn implements [syscall.Conn].
func (c *quietConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

func (c *quietConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	op := newTransfer(p)
	err := c.raw.Read(op.read)
	n, failed := op.end()
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, c.opError("read", "recvfrom", failed)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (c *quietConn) Write(p []byte) (int, error) {
	op := newTransfer(p)
	err := c.raw.Write(op.write)
	n, failed := op.end()
	if err == nil && failed != nil {
		err = c.opError("write", "sendto", failed)
	}
	return n, err
}

// ReadFrom is here so that the embedded connection's, which would tell the
// scheduler, is not found by io.Copy.
func (c *quietConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *quietConn) opError(op, call string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}

// A transfer is one Read or Write: what the functions need that package net
// calls whenever the socket is ready. The functions are made once, with it.
type transfer struct {
	p     []byte
	n     int
	err   error
	read  func(fd uintptr) (done bool)
	write func(fd uintptr) (done bool)
}

var transfers = sync.Pool{New: func() any {
	t := new(transfer)
	t.read, t.write = t.readSome, t.writeAll
	return t
}}

func newTransfer(p []byte) *transfer {
	t := transfers.Get().(*transfer)
	t.p = p
	return t
}

// end returns how much was transferred, and gives the transfer back.
func (t *transfer) end() (n int, err error) {
	n, err = t.n, t.err
	t.p, t.n, t.err = nil, 0, nil
	transfers.Put(t)
	return n, err
}

func (t *transfer) readSome(fd uintptr) (done bool) {
	t.n, t.err = retry(recv, int(fd), t.p)
	if t.err == syscall.EAGAIN {
		t.n, t.err = 0, nil
		return false
	}
	return true
}

func (t *transfer) writeAll(fd uintptr) (done bool) {
	for t.n < len(t.p) {
		n, err := retry(send, int(fd), t.p[t.n:])
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			t.err = err
			return true
		}
		t.n += n
	}
	return true
}
