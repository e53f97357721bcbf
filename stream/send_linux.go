//go:build !386 && !s390x

package stream

import (
	"syscall"
	"unsafe"
)

// send is send(2), which does not wait here. So the scheduler need not be told
// of the call, as syscall.Write does; and the kernel does not go through the
// socket's file, which for thousands of them is not in the cache.
func send(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
