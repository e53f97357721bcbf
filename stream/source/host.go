package source

import (
	"context"
	"encoding/json"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"weir/stream"
)

func openHost(connections func() int) func(argument string) (stream.Source, error) {
	return func(argument string) (stream.Source, error) {
		return &Host{Connections: connections}, noArgument("host", argument)
	}
}

// A Host publishes readings of this machine and of this process: a JSON object
// of
//
//	cpu_percent     how busy the processors were since the reading before
//	memory_percent  how much memory is not available for new work
//	open_fds        file descriptors that the process has open
//	fd_limit        how many it may have open
//	goroutines      of the process
//	gc_pause_ms     the last pause for garbage collection; 0 before the first
//	connections     open streams
//
// What the system does not tell is left out: the first four are known on Linux
// only. The zero value works.
//
// It reads /proc itself: that is four small files, and the libraries for it
// bring a whole machine's worth of other readings along.
type Host struct {
	// Connections counts the open streams. Default: they are left out.
	Connections func() int
	// Interval is the time between two readings. Default: 1 s.
	Interval time.Duration
	// Proc is where the proc file system of the machine is mounted; in a
	// container it may be elsewhere than that of the process. Default: /proc.
	Proc string
}

// A hostReading has nil for what is not known.
type hostReading struct {
	CPUPercent    *float64 `json:"cpu_percent,omitempty"`
	MemoryPercent *float64 `json:"memory_percent,omitempty"`
	OpenFDs       *uint64  `json:"open_fds,omitempty"`
	FDLimit       *uint64  `json:"fd_limit,omitempty"`
	Goroutines    *uint64  `json:"goroutines,omitempty"`
	GCPauseMS     *float64 `json:"gc_pause_ms,omitempty"`
	Connections   *int     `json:"connections,omitempty"`
}

// Run implements [stream.Source]. The first reading comes after one interval,
// since the use of the processors is known only over a time.
func (h *Host) Run(ctx context.Context, p stream.Publisher) error {
	interval := h.Interval
	if interval <= 0 {
		interval = time.Second
	}
	m := newMachine(h.Proc)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		var r hostReading
		m.read(&r)
		readProcess(&r)
		if count := h.Connections; count != nil {
			n := count()
			r.Connections = &n
		}
		data, err := json.Marshal(r) // refuses what is not finite
		if err != nil {
			p.Fail(err)
			continue
		}
		if err := putReading(ctx, p, stream.Event{Type: ReadingType, ContentType: stream.JSON, Data: data}); err != nil {
			return ended(err)
		}
	}
}

// readProcess reads what the Go runtime tells on every system.
func readProcess(r *hostReading) {
	sample := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}}
	metrics.Read(sample)
	if v := sample[0].Value; v.Kind() == metrics.KindUint64 {
		n := v.Uint64()
		r.Goroutines = &n
	}
	// The metrics have pauses as a histogram only; this has the last one, and
	// unlike runtime.ReadMemStats does not stop the world for it.
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	pause := 0.0
	if len(gc.Pause) > 0 {
		pause = float64(gc.Pause[0].Microseconds()) / 1000
	}
	r.GCPauseMS = &pause
}

// percent returns part of whole in per cent with one decimal, from 0 to 100,
// or nil where that has no meaning.
func percent(part, whole float64) *float64 {
	if !(whole > 0) {
		return nil
	}
	v := min(max(math.Round(1000*part/whole)/10, 0), 100)
	return &v
}
