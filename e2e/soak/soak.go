//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/stream"
)

const (
	topicName  = "soak"
	streamPath = "/sse-stream?topic=" + topicName + "&format=json"
	token      = "soak-publishes"

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
	faultEvery time.Duration // between the beginnings of two faults
	longStop   time.Duration // for which something is stopped at most
	longest    time.Duration // life of a client that comes and goes

	redis      *redis
	nodes      []*node
	foreigners []foreign
	ledger     *ledger
	publisher  *publisher

	delivered, opened, turnedAway, reconnects, pauses, streamErrors, stalled atomic.Int64
	left                                                                     [departures]atomic.Int64

	mu       sync.Mutex
	accounts []*account
	happened map[string]int // faults that were brought about
	cuts     map[string]int // clients that stopped reading and were cut, by node and life
	faults   []string       // what must not be
	more     int            // faults that are not in the list
	base     []figures      // of each node
	peak     []figures
	now      []figures
}

// maxFaults is how many are listed.
const maxFaults = 20

// fault notes something that must not be.
func (s *soak) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) >= maxFaults {
		s.more++
		return
	}
	s.faults = append(s.faults, fmt.Sprintf("%s: ", clock(time.Since(s.began)))+fmt.Sprintf(format, args...))
}

func (s *soak) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%s  %s\n", clock(time.Since(s.began)), fmt.Sprintf(format, args...))
}

func clock(d time.Duration) string {
	seconds := int(d.Seconds())
	return fmt.Sprintf("%3d:%02d", seconds/60, seconds%60)
}

// soakIn runs a soak with its files in dir.
func soakIn(ctx context.Context, dir string, o options, out io.Writer) (err error) {
	s := &soak{
		options: o, out: out, began: time.Now(),
		faultEvery: min(o.length/6, time.Minute),
		longStop:   min(max(o.length/10, 3*time.Second), 8*time.Second),
		longest:    min(o.length/2, time.Minute),
		ledger:     &ledger{},
		happened:   map[string]int{}, cuts: map[string]int{},
	}
	if s.foreigners, err = foreigners(ctx, dir); err != nil {
		return err
	}
	if s.redis, err = newRedis(dir); err != nil {
		return err
	}
	for _, name := range []string{"A", "B"} {
		n, err := newNode(dir, name, o.binary,
			"-redis", "redis://"+s.redis.addr+"/0", "-source", topicName+"=http", "-publish-token", token,
			"-heartbeat", heartbeat.String(), "-write-timeout", writeTimeout.String(), "-retry", retry.String(),
			"-history", fmt.Sprint(history), "-drain", "2s",
			"-max-conns", "0", "-max-conns-per-client", "0", "-connect-rate", "0", "-publish-rate", "0")
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
	}
	s.base, s.peak, s.now = make([]figures, 2), make([]figures, 2), make([]figures, 2)
	s.publisher = newPublisher(s.ledger, s.nodes, s.fault)
	defer s.endProcesses()
	if err := s.start(ctx); err != nil {
		return err
	}
	marker, err := s.load(ctx)
	if err != nil {
		s.fault("%v", err)
	}
	if ctx.Err() != nil {
		s.fault("it was interrupted")
	}
	// The figures are still wanted when the run was interrupted.
	s.calm(context.WithoutCancel(ctx))
	s.searchLogs()
	return s.report(marker)
}

func (s *soak) endProcesses() {
	for _, n := range s.nodes {
		_ = n.end(syscall.SIGKILL, patience)
	}
	_ = s.redis.end(syscall.SIGKILL, patience)
}

// start starts everything and measures the nodes before the first client, but
// after a few have come and gone: what is made once is there.
func (s *soak) start(ctx context.Context) error {
	if err := s.redis.start(ctx); err != nil {
		return err
	}
	for _, n := range s.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	var warm sync.WaitGroup
	for i, n := range s.nodes {
		for range 20 {
			warm.Go(func() { s.publisher.publish(n, batchSize) })
		}
		warm.Go(func() {
			a := s.account(fmt.Sprintf("the first client of node %d", i))
			for _, http2 := range []bool{false, true} {
				l, err := s.open(ctx, linkOptions{node: n, http2: http2})
				if err != nil {
					s.fault("the first client of node %s: %v", n.name, err)
					return
				}
				end := time.Now().Add(2 * heartbeat)
				_ = s.read(l, a, func() bool { return time.Now().Before(end) })
				l.close()
				a = s.account(fmt.Sprintf("the second client of node %d", i))
			}
		})
	}
	warm.Wait()
	s.publisher.client.CloseIdleConnections()
	for i, n := range s.nodes {
		err := eventually(ctx, patience, "node "+n.name+" does not come to rest", func() bool {
			first, err := n.measure(s.redis.addr)
			if err != nil || first.connections > 0 {
				return false
			}
			sleep(ctx, 300*time.Millisecond)
			s.base[i], err = n.measure(s.redis.addr)
			return err == nil && s.base[i].goroutines == first.goroutines && s.base[i].fds == first.fds
		})
		if err != nil {
			return err
		}
	}
	s.say("two nodes over Redis, at rest; load for %v", s.length)
	return nil
}

// load runs clients, publishers and faults, and ends them. It returns the ID
// of the last event, which all clients that stay must have reached.
func (s *soak) load(ctx context.Context) (marker stream.ID, err error) {
	end := time.Now().Add(s.length)
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	churning, stopChurn := context.WithCancel(ctx)
	patient, stopStalled := context.WithCancel(ctx)
	publishing, stopPublish := context.WithCancel(ctx)
	staying, stopStay := context.WithCancel(ctx)
	watching, stopWatch := context.WithCancel(ctx)
	var churn, stalled, publish, stay, watch sync.WaitGroup
	defer func() {
		for _, stop := range []func(){stopChurn, stopStalled, stopPublish, stopStay, stopWatch} {
			stop()
		}
		for _, group := range []*sync.WaitGroup{&churn, &stalled, &publish, &stay, &watch} {
			group.Wait()
		}
	}()

	publish.Go(func() { s.publisher.run(publishing) })
	watch.Go(func() { s.watch(watching, abort) })
	var staid []*account
	for i := range s.steady {
		a := s.account(fmt.Sprintf("steady client %d", i))
		staid = append(staid, a)
		stay.Go(func() {
			if i%3 == 1 {
				s.stayAsClient(staying, a)
			} else {
				s.stay(staying, a, i, false)
			}
		})
	}
	for i, f := range s.foreigners {
		a := s.account(f.name)
		staid = append(staid, a)
		stay.Go(func() { s.stayAsForeigner(staying, a, f, s.nodes[i%len(s.nodes)]) })
	}
	for i := range s.slow {
		if i%2 == 0 {
			stalled.Go(func() { s.stall(churning, patient, i/2) })
			continue
		}
		a := s.account(fmt.Sprintf("slow client %d", i))
		staid = append(staid, a)
		stay.Go(func() { s.stay(staying, a, i/2, true) })
	}
	for i := range s.options.churn {
		churn.Go(func() {
			sleep(churning, between(0, s.longest/4))
			s.churn(churning, fmt.Sprintf("client %d", i))
		})
	}

	if err := s.disturb(ctx, end); err != nil {
		return marker, cause(ctx, err)
	}
	// Those that stopped reading are cut only while there is something to read.
	s.say("no more faults; clients leave")
	stopChurn()
	churn.Wait()
	err = eventually(ctx, patience, "", func() bool { return s.stalled.Load() == 0 })
	if err != nil && ctx.Err() == nil {
		s.fault("%d clients that stopped reading have not been cut", s.stalled.Load())
	}
	stopStalled()
	stalled.Wait()
	stopPublish()
	publish.Wait()
	if marker, err = s.publisher.finish(ctx); err != nil {
		return marker, cause(ctx, err)
	}
	err = eventually(ctx, patience, "", func() bool {
		for _, a := range staid {
			if !a.reached(marker) {
				return false
			}
		}
		return true
	})
	if err != nil && ctx.Err() == nil {
		for _, a := range staid {
			if !a.reached(marker) {
				s.fault("%s has not come to the end of the topic", a.name)
			}
		}
	}
	return marker, cause(ctx, nil)
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
		processes := []*process{&s.redis.process}
		for i, n := range s.nodes {
			processes = append(processes, &n.process)
			f, err := n.measure(s.redis.addr)
			if err != nil {
				continue // it is being restarted, or stopped
			}
			s.mu.Lock()
			s.now[i] = f
			s.peak[i].raise(f)
			s.mu.Unlock()
		}
		for _, p := range processes {
			if p.died() {
				abort(fmt.Errorf("%s has ended by itself", p.name))
				return
			}
		}
		if now := time.Now(); now.Sub(told) >= 10*time.Second {
			told = now
			s.progress()
		}
	}
}

func (s *soak) progress() {
	sums := s.ledger.sums()
	s.mu.Lock()
	var nodes []string
	for i, n := range s.nodes {
		nodes = append(nodes, fmt.Sprintf("%s %d streams, %d goroutines, %s", n.name, s.now[i].connections, s.now[i].goroutines, mebibytes(s.now[i].rss)))
	}
	s.mu.Unlock()
	s.say("%d published, %d acknowledged, %d delivered, %d reconnects; %s",
		sums.published, sums.acknowledged, s.delivered.Load(), s.reconnects.Load(), strings.Join(nodes, "; "))
}

// calm waits until the nodes are as they were before the first client, but not
// beyond patience, and measures them.
func (s *soak) calm(ctx context.Context) {
	s.publisher.client.CloseIdleConnections()
	for i, n := range s.nodes {
		err := eventually(ctx, patience, "", func() bool {
			f, err := n.measure(s.redis.addr)
			s.now[i] = f
			return err == nil && f.returned(s.base[i]) == nil
		})
		if err == nil {
			continue
		}
		not := s.now[i].returned(s.base[i])
		if not == nil {
			not = []string{"it does not answer"}
		}
		s.fault("node %s, %v after the last client has left: %s", n.name, patience, strings.Join(not, "; "))
	}
	for i, n := range s.nodes {
		// What the server counts cannot be less than what the clients saw.
		if seen := s.cuts[fmt.Sprint(n.name, s.now[i].life)]; seen > s.now[i].slow {
			s.fault("node %s has ended %d clients that had stopped reading, but counts %d as slow", n.name, seen, s.now[i].slow)
		}
	}
}

var wrong = regexp.MustCompile(`panic|DATA RACE|fatal error|"level":"ERROR"`)

// searchLogs looks for what a server prints when its program is wrong.
func (s *soak) searchLogs() {
	for _, n := range s.nodes {
		for line := range strings.Lines(n.log()) {
			// That Redis is away is an error, and no wonder.
			if wrong.MatchString(line) && !strings.Contains(line, "broker down") {
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
