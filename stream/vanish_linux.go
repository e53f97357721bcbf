//go:build !386 && !s390x

package stream

import (
	"syscall"
	"time"
	"unsafe"
)

// unacknowledged asks the system whether something that was sent, data or a
// probe of a closed window, waits for an acknowledgement, and how long ago the
// last one came. It is not ok for what is closed or not TCP.
func unacknowledged(raw syscall.RawConn) (outstanding bool, quiet time.Duration, ok bool) {
	var info syscall.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	err := raw.Control(func(fd uintptr) {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		ok = errno == 0
	})
	return info.Unacked > 0 || info.Probes > 0, time.Duration(info.Last_ack_recv) * time.Millisecond, ok && err == nil
}
