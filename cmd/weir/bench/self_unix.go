//go:build unix

package bench

import (
	"fmt"
	"syscall"
	"time"
)

// ownCPU returns the CPU time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// needFiles sees to it that this process may open so many descriptors.
func needFiles(n int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read the limit on open files: %w", err)
	}
	if uint64(l.Cur) >= uint64(n) {
		return nil
	}
	hard := l.Max
	if uint64(hard) >= uint64(n) {
		l.Cur = hard
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err == nil {
			return nil
		}
	}
	return fmt.Errorf("this process may open %d files at most, and so many connections need %d: raise the limit first (ulimit -n %d; as root: ulimit -Hn), or take fewer by -c", hard, n, n)
}
