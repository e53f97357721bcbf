//go:build linux && (386 || s390x)

package netpoll

import "syscall"

// send writes to a socket that does not block. Here package syscall has no
// number for send(2).
func send(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
