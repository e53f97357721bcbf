//go:build !386 && !s390x

package netpoll

import (
	"syscall"
	"unsafe"
)

// send is send(2), which does not wait here. So the scheduler need not be told
// of the call, as syscall.Write does; and the kernel does not go through the
// socket's file, which for thousands of sockets is not in the cache.
func send(fd int, p []byte) (int, error) {
	return transferNow(syscall.SYS_SENDTO, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

// recv is recv(2), likewise.
func recv(fd int, p []byte) (int, error) {
	return transferNow(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT)
}

func transferNow(call uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
