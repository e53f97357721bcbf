//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/stream"
)

const (
	token = "soak-publishes"

	heartbeat    = time.Second
	writeTimeout = 2 * time.Second
	retry        = 300 * time.Millisecond
	// brokerTimeout is after how long a node gives up waiting for Redis.
	brokerTimeout = 2 * time.Second
	// history is what a node holds: more than comes while a client is away.
	history = 20000
)

// A soak is one run. Its counters are for any goroutine.
type soak struct {
	options
	out        io.Writer
	began      time.Time
	faultEvery time.Duration // between the beginnings of two misfortunes of a stage
	longStop   time.Duration // for which something is stopped at most
	longest    time.Duration // life of a client that comes and goes

	stages []*stage
	nodes  []*node    // of all stages
	redis  []*process // what else runs

	delivered, opened, turnedAway, reconnects, pauses, streamErrors, stalled atomic.Int64
	left                                                                     [departures]atomic.Int64

	mu       sync.Mutex
	happened map[string]int // misfortunes that were brought about
	cuts     map[string]int // clients that stopped reading and were cut, by node and life
	faults   []string       // what must not be
	more     int            // faults that are not in the list
}

// maxFaults is how many are listed.
const maxFaults = 20

// fault notes something that must not be.
func (s *soak) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%s: ", clock(time.Since(s.began))) + fmt.Sprintf(format, args...)
	if len(s.faults)+s.more < 10*maxFaults {
		fmt.Fprintln(s.out, "!", text)
	}
	if len(s.faults) >= maxFaults {
		s.more++
		return
	}
	s.faults = append(s.faults, text)
}

func (s *soak) say(format string, args ...any) {
	text := fmt.Sprintf("%s  %s\n", clock(time.Since(s.began)), fmt.Sprintf(format, args...))
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.out, text)
}

func clock(d time.Duration) string {
	seconds := int(d.Seconds())
	return fmt.Sprintf("%3d:%02d", seconds/60, seconds%60)
}

// soakIn runs a soak with its files in dir.
func soakIn(ctx context.Context, dir string, o options, out io.Writer) (err error) {
	s := &soak{
		options: o, out: out, began: time.Now(),
		faultEvery: min(o.length/7, time.Minute),
		longStop:   min(max(o.length/10, 3*time.Second), 8*time.Second),
		longest:    min(o.length/2, time.Minute),
		happened:   map[string]int{}, cuts: map[string]int{},
	}
	defer s.endProcesses()
	if err := s.build(ctx, dir); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	markers, err := s.load(ctx)
	if err != nil {
		s.fault("%v", err)
	}
	if ctx.Err() != nil {
		s.fault("it was interrupted")
	}
	// The figures are still wanted when the run was interrupted.
	s.calm(context.WithoutCancel(ctx))
	s.searchLogs()
	return s.report(markers)
}

// build makes the stages.
func (s *soak) build(ctx context.Context, dir string) error {
	for _, one := range []func(context.Context, string) (*stage, error){
		s.cluster, s.disk, s.failover, s.bounded, s.exhausted,
	} {
		g, err := one(ctx, dir)
		if err != nil {
			return err
		}
		if g == nil { // not on this system
			continue
		}
		s.stages = append(s.stages, g)
		for _, n := range g.nodes {
			if !slices.Contains(s.nodes, n) {
				s.nodes = append(s.nodes, n)
			}
		}
		if g.with != nil {
			s.stages = append(s.stages, g.with)
		}
	}
	return nil
}

func (s *soak) endProcesses() {
	for _, n := range s.nodes {
		_ = n.end(syscall.SIGKILL, patience)
	}
	for _, p := range s.redis {
		_ = p.end(syscall.SIGKILL, patience)
	}
}

// start starts everything and measures the nodes before the first client, but
// after a few have come and gone: what is made once is there.
func (s *soak) start(ctx context.Context) error {
	for _, g := range s.stages {
		if g.prepare != nil {
			if err := g.prepare(ctx); err != nil {
				return err
			}
		}
	}
	for _, n := range s.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	var warm sync.WaitGroup
	for _, g := range s.stages {
		for i, n := range g.nodes {
			for range 20 {
				if g.publisher != nil {
					warm.Go(func() { g.publisher.publish(ctx, i, batchSize) })
				}
			}
			warm.Go(func() {
				a := g.account("the first client of node %s", n.name)
				for _, http2 := range []bool{false, true} {
					l, err := s.open(ctx, linkOptions{node: n, path: g.streamPath(), http2: http2})
					if err != nil {
						s.fault("the first client of node %s: %v", n.name, err)
						return
					}
					end := time.Now().Add(2 * heartbeat)
					_ = s.read(l, a, func() bool { return time.Now().Before(end) })
					l.close()
					a = g.account("the second client of node %s", n.name)
				}
			})
		}
	}
	warm.Wait()
	s.hangUp()
	for _, n := range s.nodes {
		err := eventually(ctx, patience, "node "+n.name+" does not come to rest", func() bool {
			first, err := n.measure()
			if err != nil || first.connections > 0 {
				return false
			}
			sleep(ctx, 300*time.Millisecond)
			n.base, err = n.measure()
			return err == nil && n.base.goroutines == first.goroutines && n.base.fds == first.fds
		})
		if err != nil {
			return err
		}
		if err := n.weigh(&n.base); err != nil {
			return err
		}
	}
	s.say("%d nodes, at rest; load for %v", len(s.nodes), s.length)
	return nil
}

// hangUp closes the publishers' connections.
func (s *soak) hangUp() {
	for _, g := range s.stages {
		if g.publisher != nil {
			g.publisher.client.CloseIdleConnections()
		}
	}
}

// load runs clients, publishers and misfortunes, and ends them. It returns the
// IDs of the last events, which all clients that stay must have reached.
func (s *soak) load(ctx context.Context) (markers map[*stage]stream.ID, err error) {
	markers = make(map[*stage]stream.ID)
	end := time.Now().Add(s.length)
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	watching, stopWatch := context.WithCancel(ctx)
	var watch, disturb sync.WaitGroup
	defer watch.Wait()
	defer stopWatch()
	watch.Go(func() { s.watch(watching, abort) })
	throngs := make(map[*stage]*throng)
	for _, g := range s.stages {
		t := s.enter(ctx, g)
		throngs[g] = t
		defer t.leave()
	}
	for _, g := range s.stages {
		disturb.Go(func() {
			if err := s.disturb(ctx, g, end); err != nil {
				abort(err)
			}
		})
	}
	disturb.Wait()
	if ctx.Err() != nil {
		return markers, cause(ctx, ctx.Err())
	}
	s.say("no more misfortunes; clients leave")
	var mu sync.Mutex
	var leave sync.WaitGroup
	for _, g := range s.stages {
		leave.Go(func() {
			marker, err := s.conclude(ctx, g, throngs[g])
			if err != nil {
				abort(err)
			}
			mu.Lock()
			defer mu.Unlock()
			markers[g] = marker
		})
	}
	leave.Wait()
	return markers, cause(ctx, nil)
}

// cause prefers the reason why ctx was cancelled.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why
	}
	return err
}

// watch measures the nodes, says how it goes, and aborts the run when a
// process has ended by itself.
func (s *soak) watch(ctx context.Context, abort context.CancelCauseFunc) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		processes := slices.Clone(s.redis)
		for _, n := range s.nodes {
			processes = append(processes, &n.process)
			f, err := n.measure()
			if err != nil {
				continue // it is being restarted, or stopped
			}
			s.mu.Lock()
			n.now = f
			n.peak.raise(f)
			s.mu.Unlock()
		}
		for _, p := range processes {
			if p.died() {
				abort(fmt.Errorf("%s has ended by itself", p.name))
				return
			}
		}
		if now := time.Now(); now.Sub(told) >= max(10*time.Second, s.length/60) {
			told = now
			s.progress()
		}
	}
}

func (s *soak) progress() {
	var parts []string
	for _, g := range s.stages {
		sums := g.ledger.sums()
		parts = append(parts, fmt.Sprintf("%s %d of %d", g.name, sums.acknowledged, sums.published))
	}
	s.mu.Lock()
	for _, n := range s.nodes {
		parts = append(parts, fmt.Sprintf("%s %d streams, %d goroutines, %s", n.name, n.now.connections, n.now.goroutines, mebibytes(n.now.rss)))
	}
	s.mu.Unlock()
	s.say("%d delivered, %d reconnects; acknowledged: %s", s.delivered.Load(), s.reconnects.Load(), strings.Join(parts, "; "))
}

// calm waits until the nodes are as they were before the first client, but not
// beyond patience, and measures them.
func (s *soak) calm(ctx context.Context) {
	s.hangUp()
	for _, n := range s.nodes {
		err := eventually(ctx, patience, "", func() bool {
			f, err := n.measure()
			n.now = f
			return err == nil && f.returned(n.base) == nil && n.weigh(&n.now) == nil && n.now.returned(n.base) == nil
		})
		// What the server counts cannot be less than what the clients saw.
		if seen := s.cuts[fmt.Sprint(n.name, n.now.life)]; seen > n.now.slow {
			s.fault("node %s has ended %d clients that had stopped reading, but counts %d as slow", n.name, seen, n.now.slow)
		}
		if err == nil {
			continue
		}
		not := n.now.returned(n.base)
		if not == nil {
			not = []string{"it does not answer"}
		}
		s.fault("node %s, %v after the last client has left: %s", n.name, patience, strings.Join(not, "; "))
	}
}

var wrong = regexp.MustCompile(`panic|DATA RACE|fatal error|"level":"ERROR"`)

// searchLogs looks for what a server prints when its program is wrong.
func (s *soak) searchLogs() {
	for _, n := range s.nodes {
		for line := range strings.Lines(n.log()) {
			if wrong.MatchString(line) && (n.excused == nil || !n.excused.MatchString(line)) {
				s.fault("node %s printed: %s", n.name, strings.TrimSpace(line))
			}
		}
	}
}

func mebibytes(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
