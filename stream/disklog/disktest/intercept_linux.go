package disktest

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Call is a system call by which the process changes a file.
type Call struct {
	Name string // pwrite, fdatasync, fsync or ftruncate
	Path string // of the file
}

var names = map[int32]string{
	unix.SYS_PWRITE64:  "pwrite",
	unix.SYS_FDATASYNC: "fdatasync",
	unix.SYS_FSYNC:     "fsync",
	unix.SYS_FTRUNCATE: "ftruncate",
}

// The kernel's structures: see seccomp(2) and seccomp_unotify(2).
type (
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	response struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

const (
	receive  = 0xC0502100 // SECCOMP_IOCTL_NOTIF_RECV
	send     = 0xC0182101 // SECCOMP_IOCTL_NOTIF_SEND
	goOn     = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	notifies = 0x7fc00000 // SECCOMP_RET_USER_NOTIF
	allows   = 0x7fff0000 // SECCOMP_RET_ALLOW
)

// Intercept has decide asked before each call, from now until the process ends:
// nil lets the call through, an error is what the call fails with, and while
// decide does not return, the call hangs. A process that hangs so can be killed,
// as it can where a network file system hangs. Decide is called by a goroutine
// for each call and must not change a file itself.
func Intercept(decide func(Call) error) error {
	listener, err := Listen()
	if err != nil {
		return err
	}
	go func() {
		if err := Serve(listener, decide); err != nil {
			panic(err)
		}
	}()
	return nil
}

// Listen has the calls of this process wait from now on, also after it has
// executed another program, until somebody answers them with [Serve], to whom
// the descriptor may be sent. Without anybody they fail.
func Listen() (listener int, err error) {
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for nr := range names {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(nr)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: notifies})
	}
	code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allows})
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	// Every thread has to promise; the kernel passes it on with the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("intercept: %w", err)
	}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return -1, fmt.Errorf("intercept: %w", errno)
	}
	return int(fd), nil
}

// Serve answers the calls of the process that the listener comes from, as
// [Intercept] does, until that has ended, and closes the listener.
func Serve(listener int, decide func(Call) error) error {
	defer unix.Close(listener)
	for {
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("intercept: %w", err)
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			if ready[0].Revents != 0 { // nobody is there to call any more
				return nil
			}
			continue
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), receive, uintptr(unsafe.Pointer(&n))); errno != 0 {
			if errno == unix.EINTR || errno == unix.ENOENT { // its thread is gone
				continue
			}
			return fmt.Errorf("intercept: %w", errno)
		}
		go answer(uintptr(listener), n, decide)
	}
}

func answer(fd uintptr, n notification, decide func(Call) error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[0]))
	if err != nil {
		path = err.Error()
	}
	r := response{id: n.id, flags: goOn}
	if err := decide(Call{Name: names[n.nr], Path: path}); err != nil {
		errno, ok := err.(syscall.Errno)
		if !ok {
			errno = unix.EIO
		}
		r.err, r.flags = -int32(errno), 0
	}
	// It fails when the call was interrupted, and is made again.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, fd, send, uintptr(unsafe.Pointer(&r)))
}
