//go:build !386 && !s390x

package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An unwatchedConn is a TCP connection that is read and written by raw system
// calls. Waiting, deadlines and closing are package net's.
type unwatchedConn struct {
	*net.TCPConn
	raw      syscall.RawConn
	resting  atomic.Pointer[session] // nobody is to wait in Read
	deadline atomic.Int64            // for reading, that a user has set, in nanoseconds since 1970; 0 for none
}

func unwatched(c *net.TCPConn) net.Conn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	return &unwatchedConn{TCPConn: c, raw: raw}
}

func (c *unwatchedConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

func (c *unwatchedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	op := newTransfer(p)
	err := c.raw.Read(op.read)
	n, failed := op.end()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.late():
		return 0, nil // see rest
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, c.opError("read", "recvfrom", failed)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (c *unwatchedConn) Write(p []byte) (int, error) {
	op := newTransfer(p)
	err := c.raw.Write(op.write)
	n, failed := op.end()
	if err == nil && failed != nil {
		err = c.opError("write", "sendto", failed)
	}
	return n, err
}

func (c *unwatchedConn) SetReadDeadline(t time.Time) error {
	c.note(t)
	return c.TCPConn.SetReadDeadline(t)
}

func (c *unwatchedConn) SetDeadline(t time.Time) error {
	c.note(t)
	return c.TCPConn.SetDeadline(t)
}

func (c *unwatchedConn) note(t time.Time) {
	if t.IsZero() {
		c.deadline.Store(0)
	} else {
		c.deadline.Store(t.UnixNano())
	}
}

// late reports whether the deadline for reading is over that a user has set.
func (c *unwatchedConn) late() bool {
	deadline := c.deadline.Load()
	return deadline != 0 && time.Now().UnixNano() >= deadline
}

func (c *unwatchedConn) rest(s *session) {
	c.resting.Store(s)
	c.deadline.Store(0)
	_ = c.TCPConn.SetReadDeadline(time.Unix(1, 0)) // fails when it is closed
}

func (c *unwatchedConn) resume() {
	c.resting.Store(nil)
	_ = c.TCPConn.SetReadDeadline(time.Time{})
}

// Close tells the stream, for which nobody waits in Read.
func (c *unwatchedConn) Close() error {
	err := c.TCPConn.Close()
	if s := c.resting.Load(); s != nil {
		s.stop(errGone)
	}
	return err
}

func (c *unwatchedConn) opError(op, call string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}

// A transfer is one Read or Write: what the functions need that package net
// calls whenever the socket is ready. They are made once, with it.
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
