package streamtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
)

// SourceOptions tell [TestSource] about a source. The zero value is right for
// one that publishes by itself.
type SourceOptions struct {
	// Feed makes the running source publish at least one event, such as by
	// writing a line that it reads. It is called as often as events are wanted,
	// also when the source is not running for a moment. Default: nothing is
	// needed.
	Feed func(t *testing.T)
	// Silent says that the source never publishes: others feed its topic.
	Silent bool
	// Soon is how long the source may take to return when its context is done.
	// Default: 10 s.
	Soon time.Duration
}

// TestSource checks that a source keeps the promises of stream.Source: its
// events are valid and left alone once published, it returns soon when its
// context is done, whatever it is doing, it lives through a publisher that
// fails, it may be run again, and it leaves no goroutine behind. A source that
// returns an error is run again at once, as a hub does after a while.
//
// open is called for each part of the suite. What it registers by t.Cleanup
// happens before the goroutines are counted. The suite must not run beside
// other tests.
func TestSource(t *testing.T, open func(t *testing.T) stream.Source, opts SourceOptions) {
	if opts.Soon <= 0 {
		opts.Soon = 10 * time.Second
	}
	type part struct {
		name string
		test func(t *testing.T, s stream.Source, opts SourceOptions)
	}
	parts := []part{
		{"CancelBefore", testCancelBefore},
		{"RunAgain", testRunAgain},
	}
	if !opts.Silent {
		parts = append(parts,
			part{"Unavailable", refuse(stream.ErrUnavailable)},
			part{"Invalid", refuse(stream.ErrInvalid)},
			part{"CancelInPublish", testCancelInPublish},
		)
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			before := goroutines()
			t.Cleanup(func() { wantGoroutines(t, before) })
			part.test(t, open(t), opts)
		})
	}
}

// A recorder is a Publisher that keeps what it gets.
type recorder struct {
	answer func(ctx context.Context, attempt int) error // nil for nil

	mu      sync.Mutex
	begun   int // calls of Publish
	over    int // those that have returned
	events  []stream.Event
	sums    []uint64 // of the data, when it was published
	faults  []string
	changed chan struct{} // closed when begun or over change
}

func newRecorder(answer func(ctx context.Context, attempt int) error) *recorder {
	return &recorder{answer: answer, changed: make(chan struct{})}
}

func (r *recorder) Publish(ctx context.Context, events ...stream.Event) error {
	r.mu.Lock()
	r.begun++
	attempt := r.begun
	for i := range events {
		if err := events[i].Validate(); err != nil {
			r.faults = append(r.faults, fmt.Sprintf("an event is not valid: %v", err))
		}
	}
	r.signal()
	r.mu.Unlock()
	var err error
	if r.answer != nil {
		err = r.answer(ctx, attempt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over++
	if err == nil {
		for _, e := range events {
			r.events = append(r.events, e)
			r.sums = append(r.sums, sum(e.Data))
		}
	}
	r.signal()
	return err
}

func (r *recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.faults = append(r.faults, "Fail was called with nil")
	}
}

// signal wakes who waits for a change; the caller holds r.mu.
func (r *recorder) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func sum(data []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(data) // never fails
	return h.Sum64()
}

// check reports what the source has done wrong.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fault := range r.faults {
		t.Error(fault)
	}
	for i, e := range r.events {
		if sum(e.Data) != r.sums[i] {
			t.Errorf("event %d was changed after it had been published: its data is now %.100q", i, e.Data)
		}
	}
}

// A run is a source that runs, and is run again when it fails.
type run struct {
	source stream.Source
	to     *recorder
	opts   SourceOptions
	cancel context.CancelFunc
	done   chan struct{}
}

func start(t *testing.T, s stream.Source, to *recorder, opts SourceOptions) *run {
	ctx, cancel := context.WithCancel(context.Background())
	x := &run{source: s, to: to, opts: opts, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(x.done)
		for ctx.Err() == nil {
			if err := s.Run(ctx, to); err == nil && ctx.Err() == nil {
				t.Error("Run returned nil, which ends the topic for good, though its context was not done")
				return
			}
		}
	}()
	t.Cleanup(func() { x.stop(t) })
	return x
}

// stop cancels the source's context and checks that it returns.
func (x *run) stop(t *testing.T) {
	t.Helper()
	x.cancel()
	select {
	case <-x.done:
	case <-time.After(x.opts.Soon):
		t.Fatalf("Run did not return within %v of the end of its context", x.opts.Soon)
	}
	x.to.check(t)
}

func (x *run) feed(t *testing.T) {
	t.Helper()
	if x.opts.Feed != nil {
		x.opts.Feed(t)
	}
}

// wait waits until the recorder is as wanted.
func (x *run) wait(t *testing.T, wanted func(r *recorder) bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		x.to.mu.Lock()
		ok, events, changed := wanted(x.to), len(x.to.events), x.to.changed
		x.to.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-x.done:
			t.Fatalf("the source has ended after %d events", events)
		case <-timeout:
			t.Fatalf("nothing comes from the source after %d events", events)
		}
	}
}

// waitEvents feeds the source until it has published n more events.
func (x *run) waitEvents(t *testing.T, n int) {
	t.Helper()
	x.to.mu.Lock()
	n += len(x.to.events)
	x.to.mu.Unlock()
	for {
		x.to.mu.Lock()
		enough, over := len(x.to.events) >= n, x.to.over
		x.to.mu.Unlock()
		if enough {
			return
		}
		x.feed(t)
		x.wait(t, func(r *recorder) bool { return r.over > over })
	}
}

func testCancelBefore(t *testing.T, s stream.Source, opts SourceOptions) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := newRecorder(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx, r) // whether it calls that an error is its own affair
	}()
	select {
	case <-done:
	case <-time.After(opts.Soon):
		t.Fatalf("Run did not return within %v with a context that was done before", opts.Soon)
	}
	r.check(t)
}

func testRunAgain(t *testing.T, s stream.Source, opts SourceOptions) {
	r := newRecorder(nil)
	for range 3 {
		x := start(t, s, r, opts)
		if !opts.Silent {
			x.waitEvents(t, 2)
		}
		x.stop(t)
	}
	if opts.Silent && r.begun > 0 {
		t.Errorf("a silent source has published %d times", r.begun)
	}
}

// refuse returns a test in which the publisher fails three times.
func refuse(cause error) func(t *testing.T, s stream.Source, opts SourceOptions) {
	return func(t *testing.T, s stream.Source, opts SourceOptions) {
		r := newRecorder(func(_ context.Context, attempt int) error {
			if attempt == 2 || attempt == 3 || attempt == 4 {
				return fmt.Errorf("conformance suite: %w", cause)
			}
			return nil
		})
		x := start(t, s, r, opts)
		x.waitEvents(t, 3) // of which two come after the failures
		x.stop(t)
	}
}

func testCancelInPublish(t *testing.T, s stream.Source, opts SourceOptions) {
	r := newRecorder(func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", stream.ErrUnavailable, ctx.Err())
	})
	x := start(t, s, r, opts)
	x.feed(t)
	x.wait(t, func(r *recorder) bool { return r.begun > 0 })
	x.stop(t)
}

// goroutines returns the goroutines that there are, by the line that names
// each.
func goroutines() map[string]string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		number, _, _ := strings.Cut(stack, " [") // "goroutine 7 [running]:"
		all[number] = stack
	}
	return all
}

// wantGoroutines checks that there are no others than before. One that is on
// its way out may take a moment.
func wantGoroutines(t *testing.T, before map[string]string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := goroutines()
		maps.DeleteFunc(left, func(number, stack string) bool {
			_, old := before[number]
			return old || strings.Contains(stack, "created by runtime") || strings.Contains(stack, "os/signal.")
		})
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, stack := range left {
				t.Errorf("a goroutine is left behind:\n%s", stack)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
}
