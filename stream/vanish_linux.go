//go:build !386 && !s390x

package stream

import (
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// unacknowledged asks the system whether something that was sent, data or a
// probe of a closed window, waits for an acknowledgement, and how long ago the
// last one came. It is not ok for what is closed or not TCP.
func unacknowledged(raw syscall.RawConn) (outstanding bool, quiet time.Duration, ok bool) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	err := raw.Control(q.ask)
	return q.info.Unacked > 0 || q.info.Probes > 0, time.Duration(q.info.Last_ack_recv) * time.Millisecond, q.ok && err == nil
}

// A question is used again: thousands of connections are asked about.
type question struct {
	info syscall.TCPInfo
	ok   bool
	ask  func(fd uintptr)
}

var questions = sync.Pool{New: func() any {
	q := new(question)
	q.ask = func(fd uintptr) {
		size := uint32(unsafe.Sizeof(q.info))
		_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&q.info)), uintptr(unsafe.Pointer(&size)), 0)
		q.ok = errno == 0
	}
	return q
}}
