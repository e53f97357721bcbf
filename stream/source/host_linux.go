package source

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A machine reads the machine and the process out of the proc file system, see
// proc(5).
type machine struct {
	proc       string
	idle, busy uint64 // ticks of all processors, at the last reading
	cpu        *float64
}

func newMachine(proc string) *machine {
	if proc == "" {
		proc = "/proc"
	}
	m := &machine{proc: proc}
	m.idle, m.busy, _ = m.ticks()
	return m
}

func (m *machine) read(r *hostReading) {
	if idle, busy, ok := m.ticks(); ok {
		// The counter of the time that was spent waiting for disks may go back.
		idled, worked := float64(idle)-float64(m.idle), float64(busy)-float64(m.busy)
		if now := percent(worked, max(idled, 0)+worked); now != nil {
			m.cpu = now
		}
		m.idle, m.busy = idle, busy
		// On a busy machine two readings may come so close that the counters
		// stand still: then the value stands too.
		r.CPUPercent = m.cpu
	}
	if total, available, ok := m.memory(); ok {
		r.MemoryPercent = percent(float64(total)-float64(available), float64(total))
	}
	// These are the process's own, whose place never changes.
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		n := uint64(len(entries)) - 1 // without the one that reads the directory
		r.OpenFDs = &n
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil && limit.Cur < 1<<53 { // else it is unlimited
		r.FDLimit = &limit.Cur
	}
}

// ticks reads how long the processors have been idle and busy.
func (m *machine) ticks() (idle, busy uint64, ok bool) {
	stat, err := os.ReadFile(filepath.Join(m.proc, "stat"))
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := bytes.Cut(stat, []byte{'\n'})
	// cpu user nice system idle iowait irq softirq steal guest guest_nice: the
	// last two are part of user and nice.
	fields := strings.Fields(string(line))
	if len(fields) < 5 || fields[0] != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:min(len(fields), 9)] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		if i == 3 || i == 4 {
			idle += n
		} else {
			busy += n
		}
	}
	return idle, busy, true
}

// memory reads how much there is, and how much could be had without swapping.
func (m *machine) memory() (total, available uint64, ok bool) {
	f, err := os.Open(filepath.Join(m.proc, "meminfo"))
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	var found int
	for lines := bufio.NewScanner(f); found < 2 && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var target *uint64
		switch name {
		case "MemTotal":
			target = &total
		case "MemAvailable":
			target = &available
		default:
			continue
		}
		kilobytes, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		if *target, err = strconv.ParseUint(kilobytes, 10, 64); err != nil {
			return 0, 0, false
		}
		found++
	}
	return total, available, found == 2
}
