package netpoll

import (
	"errors"
	"syscall"
)

// Send writes what a socket takes without waiting, and returns how much that
// was. It is no error when that is nothing.
func Send(fd int, p []byte) (int, error) {
	n, err := retry(send, fd, p)
	if errors.Is(err, syscall.EAGAIN) {
		return 0, nil
	}
	return n, err
}

// retry calls until no signal comes in between.
func retry(call func(fd int, p []byte) (int, error), fd int, p []byte) (n int, err error) {
	for {
		if n, err = call(fd, p); err != syscall.EINTR {
			return n, err
		}
	}
}

// tcpNotSentLowat is TCP_NOTSENT_LOWAT, which package syscall does not name.
const tcpNotSentLowat = 25

// LimitUnsent has a socket take no more than about n bytes that it has not sent
// yet. A client that reads slowly is then seen to be slow soon, and makes
// progress in steps of that size, in place of one large buffer that is empty or
// full.
func LimitUnsent(fd, n int) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotSentLowat, n) // without it all works, with larger buffers
}

// Shut ends a connection in both directions. What waits to be written to it fails at once.
func Shut(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // it is over in any case
}
