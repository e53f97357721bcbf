package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of CPU time in /proc: the kernel's USER_HZ, which is
// 100 on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// procCPU returns the CPU time that a process has used.
func procCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b[max(bytes.LastIndexByte(b, ')'), 0):], []byte(") ")) // the name may hold anything
	f := strings.Fields(string(rest))
	if !ok || len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is not as proc(5) describes it", pid)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat is not as proc(5) describes it", pid)
	}
	return time.Duration(user+system) * clockTick, nil
}

// procRSS returns the resident memory of a process in bytes.
func procRSS(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no memory: has it ended?", pid)
}

// procFiles returns how many descriptors a process may open.
func procFiles(pid int) (int64, error) {
	var l unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &l); err != nil {
		return 0, err
	}
	return int64(min(l.Cur, 1<<40)), nil
}

// sleepUntil sleeps until a time of the clock. Go's timers may be a millisecond
// late, and the events with them; the kernel's are not.
func sleepUntil(ctx context.Context, c clock, at int64) error {
	for {
		wait := c.at(at)
		if wait <= 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		if wait > 3*time.Millisecond {
			t := time.NewTimer(wait - 2*time.Millisecond)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
			}
			continue
		}
		pauseNow(wait) // when it is interrupted, the loop sees to the rest
	}
}

// pauseNow sleeps by a raw call, which keeps the caller's processor: a call that
// says that it may block is looked after by the runtime, every 20 µs. Where the
// runtime wants the caller to stop, it interrupts the call.
func pauseNow(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}
