// Package bench measures Server-Sent Events servers: it is the command
// weir bench. It opens many streams, publishes numbered events that carry the
// time at which each was to be sent, and accounts for every event on every
// connection. It must cost less than the server that it measures, which shapes
// everything here: see sse.go and poll_linux.go.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ErrStrict is what Run returns with -strict when an event was lost, repeated
// or out of order.
var ErrStrict = errors.New("not every event came once and in order")

// Run is the command weir bench: it parses the flags, measures, and writes the
// report to stdout and progress to stderr. A mistake in the flags is a
// [*UsageError].
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, flags, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		printUsage(stdout, flags)
		return nil
	}
	if err != nil {
		return err
	}
	if !c.quiet {
		c.Progress = stderr
	}
	var page *os.File
	if c.html != "" { // a path that cannot be written to should not cost a run
		if page, err = os.CreateTemp(filepath.Dir(c.html), ".weir-bench-*"); err != nil {
			return &UsageError{fmt.Errorf("flag -html: %w", err)}
		}
		defer func() { _ = os.Remove(page.Name()) }() // gone already when all went well
		defer func() { _ = page.Close() }()
	}
	r, err := Measure(ctx, c.Options)
	if err != nil {
		return err
	}
	if c.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(r)
	} else {
		err = r.WriteText(stdout)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if page != nil {
		err = errors.Join(r.WriteHTML(page), page.Chmod(0o644), page.Close())
		if err == nil {
			err = os.Rename(page.Name(), c.html)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", c.html, err)
		}
	}
	if c.strict && !r.Exact() {
		return ErrStrict
	}
	return nil
}

// A meter is read at the beginning and at the end of what is measured.
type meter struct {
	at          int64
	own, server time.Duration
	tally       tally
}

type bench struct {
	opts  Options
	swarm *swarm
	pub   *publisher
	r     *Report

	mu     sync.Mutex // guards what the monitor and the bench share
	phase  string
	origin int64 // of the series
	points []Point
	peak   int64
}

// Measure runs the bench once. It ends by itself: no phase lasts longer than
// the options say. When ctx is done early, it reports what there is.
func Measure(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	if o.Topics > 0 {
		return measureTopics(ctx, o)
	}
	total := o.Connections + o.Slow
	if err := needFiles(total + 64); err != nil && !o.HTTP2 {
		return nil, err
	}
	b := &bench{opts: o}
	b.r = newReport(&b.opts)
	if o.PID > 0 {
		rss, err := procRSS(o.PID)
		if err != nil {
			return nil, usagef("flag -pid: %w", err)
		}
		b.r.Server = &Server{PID: o.PID, RSSBefore: rss}
		if files, err := procFiles(o.PID); err == nil && files < int64(total) && !o.HTTP2 {
			b.r.warn("The server may open %d files only, which is too few for %d connections: raise its limit (ulimit -n).", files, total)
		}
	}
	shards := o.Workers
	polled := !o.HTTP2 && !o.Portable && o.url.Scheme == "http"
	b.swarm = newSwarm(&b.opts, shards)
	var err error
	switch {
	case o.HTTP2:
		b.swarm.driver, err = newH2Driver(ctx, b.swarm)
	case polled:
		b.swarm.driver, err = newPollDriver(ctx, b.swarm)
		if err == nil {
			break
		}
		fallthrough
	default:
		b.swarm.driver, err = newConnDriver(ctx, b.swarm)
	}
	if err != nil {
		return nil, err
	}
	quit := make(chan struct{})
	var monitor sync.WaitGroup
	monitor.Go(func() { b.monitor(quit) })
	err = b.run(ctx)
	close(quit)
	monitor.Wait()
	b.swarm.driver.close()
	if b.pub != nil {
		b.pub.close()
	}
	if err != nil {
		return nil, err
	}
	b.finish()
	return b.r, nil
}

func (b *bench) enter(phase string) {
	b.mu.Lock()
	b.phase = phase
	b.mu.Unlock()
}

func (b *bench) read() meter {
	m := meter{at: b.swarm.clock.now(), own: ownCPU(), tally: b.swarm.look(0)}
	if b.r.Server != nil {
		m.server, _ = procCPU(b.opts.PID) // gone: its last figures stand
	}
	return m
}

func (b *bench) run(ctx context.Context) error {
	if err := b.connect(ctx); err != nil {
		return err
	}
	if err := pause(ctx, b.opts.Settle); err != nil {
		return err
	}
	t := b.swarm.look(0)
	b.r.Streams.Open = t.open
	b.r.Streams.NoHead = t.reached - t.open
	if b.r.Server != nil {
		b.r.Server.RSSConnected, _ = procRSS(b.opts.PID)
	}
	switch {
	case b.opts.Storm:
		return b.storm(ctx)
	case b.opts.Rate > 0:
		return b.publish(ctx)
	default:
		return b.listen(ctx)
	}
}

// pause waits. It returns the context's error when that is done first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// connect opens the streams on the ramp's schedule, and waits for the answers.
func (b *bench) connect(ctx context.Context) error {
	b.enter("connecting")
	s := b.swarm
	all := append(append([]*client(nil), s.clients...), s.slow...)
	began := time.Now()
	for i := 0; i < len(all); {
		due := min(len(all), int(time.Since(began).Seconds()*b.opts.Ramp)+1)
		for ; i < due; i++ {
			s.driver.open(all[i])
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
		if t := s.look(0); i > 100 && t.refused == i { // why go on
			break
		}
	}
	deadline := time.Now().Add(b.opts.ConnectTimeout)
	for {
		t := s.look(0)
		if t.open+t.refused >= len(s.clients) && t.slowOpen >= len(s.slow) || time.Now().After(deadline) || t.refused == len(s.clients) {
			if t.reached == 0 {
				return fmt.Errorf("no stream could be opened at %s: %s", b.opts.URL, orUnknown(s.problem()))
			}
			b.r.Streams.SlowOpen = t.slowOpen
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func orUnknown(why string) string {
	if why == "" {
		return "it does not answer"
	}
	return why
}

// begin makes every event from now on count, on every stream that is there.
func (b *bench) begin(warm int64) {
	base := (1 + rand.Int64N(99999)) * seqSpan
	b.pub = newPublisher(&b.opts, b.swarm.clock, base)
	b.swarm.each(func(sh *shard) {
		sh.base, sh.span, sh.warm = base, seqSpan, warm
		for _, c := range sh.clients {
			if !c.slow && (c.state == open || c.state == dialing && c.sent) {
				c.track.begin(0)
			}
		}
	})
}

// since makes the series begin.
func (b *bench) since(at int64) {
	b.swarm.each(func(sh *shard) {
		sh.origin, sh.series = at, nil
		sh.tick(at)
	})
	b.mu.Lock()
	b.origin, b.points = at, nil
	b.mu.Unlock()
	if b.opts.Measuring != nil {
		go b.opts.Measuring()
	}
}

// publish is a run at a rate.
func (b *bench) publish(ctx context.Context) error {
	o := &b.opts
	warm := int64(math.Ceil(o.Warmup.Seconds() * o.Rate))
	total := warm + max(1, int64(math.Ceil(o.Duration.Seconds()*o.Rate)))
	b.begin(warm)
	start := b.swarm.clock.now() + int64(20*time.Millisecond)
	measured := start + int64(float64(warm)*1e9/o.Rate)
	b.enter("publishing")

	type outcome struct {
		used int64
		err  error
	}
	ended := make(chan outcome, 1)
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // the publisher holds one while it sleeps
	defer func() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1) }()
	go func() {
		used, err := b.pub.run(ctx, start, 0, total, o.Rate)
		ended <- outcome{used, err}
	}()
	var out outcome
	select { // the meters are read when the warm-up is over
	case <-time.After(b.swarm.clock.at(measured)):
		first := b.read()
		b.since(first.at)
		b.r.first = first
		out = <-ended
	case out = <-ended:
		b.r.first = b.read()
	}
	b.r.used, b.r.warm = out.used, warm
	if out.err != nil && b.pub.events == 0 {
		return out.err
	}
	if out.err != nil {
		b.r.warn("Publishing ended early: %v.", out.err)
	}
	b.r.published = b.swarm.clock.now()
	b.enter("draining")
	b.drain(ctx, out.used, o.Drain)
	b.r.last = b.read()
	b.letSlowGo(ctx)
	return nil
}

// drain waits for events that are on their way: until all have come, or none
// has come for two seconds though all clients are connected, or the time is up.
func (b *bench) drain(ctx context.Context, limit int64, longest time.Duration) bool {
	deadline := time.Now().Add(longest)
	progress, delivered := time.Now(), int64(-1)
	for {
		t := b.swarm.look(limit)
		if t.caught >= t.begun {
			return true
		}
		if t.delivered != delivered {
			progress, delivered = time.Now(), t.delivered
		}
		if t.reached+t.refused < len(b.swarm.clients) {
			progress = time.Now() // somebody is on the way back
		}
		if time.Now().After(deadline) || time.Since(progress) > 2*time.Second {
			return false
		}
		if pause(ctx, 5*time.Millisecond) != nil {
			return false
		}
	}
}

// letSlowGo finds out whether the server still has the slow clients. One that
// has been cut off learns of it only when it reads what the kernel holds.
func (b *bench) letSlowGo(ctx context.Context) {
	if b.opts.Slow == 0 {
		return
	}
	b.enter("looking at the slow clients")
	b.swarm.driver.release()
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if t := b.swarm.look(0); t.letGo >= b.r.Streams.SlowOpen || pause(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
}

// listen takes what the server sends by itself.
func (b *bench) listen(ctx context.Context) error {
	b.enter("listening")
	b.r.first = b.read()
	b.since(b.r.first.at)
	_ = pause(ctx, b.opts.Duration) // ending early is fine
	b.r.last = b.read()
	b.r.published = b.r.last.at
	b.letSlowGo(ctx)
	return nil
}

// storm cuts everybody off, publishes, and lets them all come back at once.
func (b *bench) storm(ctx context.Context) error {
	o := &b.opts
	replay := int64(o.Replay)
	b.begin(0)
	b.swarm.each(func(sh *shard) { sh.mute, sh.target = true, replay })

	// Everybody needs an event to resume from.
	b.enter("publishing")
	if _, err := b.pub.run(ctx, b.swarm.clock.now(), 0, 1, 0); err != nil {
		return err
	}
	if !b.drain(ctx, 1, o.Drain) {
		return fmt.Errorf("not all streams have had the first event after %v, so there is nothing to cut", o.Drain)
	}
	noID := 0
	b.swarm.each(func(sh *shard) {
		for _, c := range sh.clients {
			if c.track.begun && len(c.sse.id) == 0 {
				noID++
			}
		}
	})
	if noID > 0 {
		return errors.New("the server's events have no IDs: no client could resume")
	}
	b.swarm.driver.cut()
	if err := pause(ctx, o.Settle); err != nil { // the server takes note
		return err
	}
	used, err := b.pub.run(ctx, b.swarm.clock.now(), 1, 1+replay, 0)
	if err != nil {
		return err
	}

	b.enter("storm")
	b.r.first = b.read()
	b.since(b.r.first.at)
	b.swarm.driver.resume()
	done := b.drain(ctx, used, time.Minute)
	b.r.last = b.read()
	b.r.published = b.r.last.at
	b.r.used = used
	st := &Storm{Clients: b.r.Streams.Open, Replay: o.Replay}
	times := newHistogram()
	b.swarm.each(func(sh *shard) {
		for _, c := range sh.clients {
			if c.caught > 0 {
				st.Live++
				record(times, c.caught-b.r.first.at)
			}
		}
	})
	st.Time = quantiles(times)
	b.r.Storm = st
	if !done {
		b.r.warn("Not all clients were live again when the bench gave up waiting.")
	}

	// Live means that the next event comes as well.
	b.enter("checking")
	more, err := b.pub.run(ctx, b.swarm.clock.now(), used, used+1, 0)
	if err != nil {
		return err
	}
	b.r.used = more
	b.drain(ctx, more, o.Drain)
	return nil
}

// finish makes the report of what has been counted.
func (b *bench) finish() {
	r := b.r
	latency, opening := newHistogram(), newHistogram()
	var series []*coarse
	var expected, lost int64
	end := b.swarm.look(0)
	b.swarm.each(func(sh *shard) {
		latency.Merge(sh.latency)
		opening.Merge(sh.opening)
		for i, s := range sh.series {
			if i == len(series) {
				series = append(series, new(coarse))
			}
			series[i].merge(s)
		}
		for _, c := range sh.clients {
			if !c.slow {
				e, l := c.track.finish(c.share(r.used))
				expected += e
				lost += l
			}
		}
	})
	r.fill(b, end, expected, lost, latency, opening)
	for i := range b.points { // each looks back on the second before it
		p := &b.points[i]
		if k := int(p.Second - 0.5); k < len(series) {
			s := series[k]
			p.P50, p.P99, p.Max = ms(s.quantile(0.5)), ms(s.quantile(0.99)), ms(s.max)
		}
	}
	r.Series = b.points
}

// monitor looks each second, for the plots and the progress.
func (b *bench) monitor(quit <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	prev := b.read()
	for {
		select {
		case <-tick.C:
		case <-quit:
			return
		}
		m := b.read()
		wall := float64(m.at-prev.at) / 1e9
		p := Point{
			OwnCores: (m.own - prev.own).Seconds() / wall, ServerCores: (m.server - prev.server).Seconds() / wall,
			Streams: m.tally.open, Deliveries: int64(float64(m.tally.received()-prev.tally.received()) / wall),
		}
		if b.r.Server != nil {
			p.RSS, _ = procRSS(b.opts.PID)
		}
		b.mu.Lock()
		b.peak = max(b.peak, p.RSS)
		phase := b.phase
		if b.origin > 0 && prev.at >= b.origin && len(b.points) < maxSeries {
			p.Second = float64(m.at-b.origin) / 1e9
			b.points = append(b.points, p)
		}
		b.mu.Unlock()
		prev = m
		if w := b.opts.Progress; w != nil {
			fmt.Fprintf(w, "%-12s %s of %s streams open", phase, group(int64(p.Streams)), group(int64(b.opts.Connections)))
			if phase != "connecting" {
				fmt.Fprintf(w, ", %s deliveries/s", group(p.Deliveries))
			}
			fmt.Fprintf(w, ", bench %.2f cores", p.OwnCores)
			if b.r.Server != nil {
				fmt.Fprintf(w, ", server %.2f cores, %s", p.ServerCores, size(p.RSS))
			}
			fmt.Fprintln(w)
		}
	}
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	if h.TotalCount() == 0 {
		return Quantiles{}
	}
	return Quantiles{
		Mean: ms(int64(h.Mean())), P50: ms(h.ValueAtQuantile(50)), P90: ms(h.ValueAtQuantile(90)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()), Samples: h.TotalCount(),
	}
}

func ms(ns int64) float64 { return math.Round(float64(ns)/1e3) / 1e3 }
