//go:build linux && (386 || s390x)

package bench

import (
	"syscall"
	"unsafe"
)

// recvNow is read(2): on these architectures recv(2) is no system call of its own.
func recvNow(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}
