package disklog_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

// patience bounds every wait of the tests for what must come.
const patience = 30 * time.Second

const topic = "disk"

// open opens a log that is closed when the test ends.
func open(t testing.TB, dir string, opts disklog.Options) *disklog.Broker {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, b) })
	return b
}

func shut(t testing.TB, b *disklog.Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func event(data string) *stream.Event {
	return &stream.Event{ContentType: stream.Text, Data: []byte(data)}
}

// publish puts in the numbers from..to-1, one at a time, and returns their IDs.
func publish(t testing.TB, b *disklog.Broker, from, to int) []stream.ID {
	t.Helper()
	var ids []stream.ID
	for i := from; i < to; i++ {
		e := event(strconv.Itoa(i))
		if err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
			t.Fatalf("publish %d: %v", i, err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// follow returns a log that has what the broker holds of a topic, and goes on
// following until stop is called or the test ends.
func follow(t testing.TB, b *disklog.Broker, topic string) (log *eventlog.Log, stop func()) {
	t.Helper()
	log = eventlog.New(eventlog.Options{History: 1 << 20, Bytes: 1 << 30})
	reports, stop := followInto(t, b, topic, log)
	if err := await(t, reports); err != nil {
		t.Fatalf("follow: %v", err)
	}
	return log, stop
}

// followInto follows with a log of the test's own, until stop is called or the
// test ends. The reports come on a channel.
func followInto(t testing.TB, b *disklog.Broker, topic string, log *eventlog.Log) (reports <-chan error, stop func()) {
	t.Helper()
	c := make(chan error, 100)
	stop = b.Follow(topic, log, func(err error) { c <- err })
	t.Cleanup(stop)
	return c, stop
}

// await returns the next report.
func await(t testing.TB, reports <-chan error) error {
	t.Helper()
	select {
	case err := <-reports:
		return err
	case <-time.After(patience):
		t.Fatal("the follower reports nothing")
		return nil
	}
}

// held reads all that waits for a cursor.
func held(t testing.TB, c *eventlog.Cursor) (events []*stream.Event, gaps []*eventlog.Gap) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		batch, err := c.Next(ctx)
		var gap *eventlog.Gap
		switch {
		case errors.Is(err, context.Canceled):
			return events, gaps
		case errors.As(err, &gap):
			gaps = append(gaps, gap)
			continue
		case err != nil:
			t.Fatal(err)
		}
		for _, e := range batch {
			events = append(events, e.Event)
		}
	}
}

// wantNumbers checks that events carry the numbers from..to-1 under rising IDs.
func wantNumbers(t testing.TB, events []*stream.Event, from, to int) {
	t.Helper()
	if len(events) != to-from {
		t.Fatalf("there are %d events, want %d", len(events), to-from)
	}
	var last stream.ID
	for i, e := range events {
		if want := strconv.Itoa(from + i); string(e.Data) != want {
			t.Fatalf("event %d carries %s, want %s", i, e.Data, want)
		}
		if !e.ID.After(last) {
			t.Fatalf("event %d has ID %s, which is not after %s", i, e.ID, last)
		}
		last = e.ID
	}
}

// memoryDir returns a directory in memory where there is one. The suite
// publishes thousands of events one after the other, and with Sync it would
// measure how busy the disk is.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "disklog-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestConformance(t *testing.T) {
	for name, sync := range map[string]bool{"Sync": true, "NoSync": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			streamtest.TestBroker(t, func(t *testing.T) stream.Broker {
				return open(t, memoryDir(t), disklog.Options{Sync: sync})
			})
		})
	}
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	var ids []stream.ID
	for round := range 5 {
		b := open(t, dir, disklog.Options{})
		log, _ := follow(t, b, topic)
		events, _ := held(t, log.All().From(stream.ID{}))
		wantNumbers(t, events, 0, round*100)
		if round > 0 { // a client resumes
			events, gaps := held(t, log.All().From(ids[len(ids)-30]))
			wantNumbers(t, events, round*100-29, round*100)
			if len(gaps) > 0 {
				t.Fatalf("a client that resumes is told of %v", gaps[0])
			}
		}
		ids = append(ids, publish(t, b, round*100, round*100+100)...)
		shut(t, b)
	}
}

// IDs rise although the clock has gone back by decades.
func TestClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, disklog.Options{})
	publish(t, b, 0, 10)
	shut(t, b)
	synctest.Test(t, func(t *testing.T) { // where it is the year 2000
		b := open(t, dir, disklog.Options{})
		publish(t, b, 10, 20)
	})
	log, _ := follow(t, open(t, dir, disklog.Options{}), topic)
	events, _ := held(t, log.All().From(stream.ID{}))
	wantNumbers(t, events, 0, 20)
}

func TestLimits(t *testing.T) {
	for name, opts := range map[string]disklog.Options{
		"History": {History: 50},
		"Bytes":   {Bytes: 50 * 40},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, opts)
			live, _ := follow(t, b, topic)
			ids := publish(t, b, 0, 500)
			shut(t, b)
			b = open(t, dir, opts)
			log, _ := follow(t, b, topic)
			events, _ := held(t, log.All().From(stream.ID{}))
			if n := len(events); n < 20 || n > 50 {
				t.Fatalf("%d events are held, want about 50 at most", n)
			}
			wantNumbers(t, events, 500-len(events), 500)
			// The floor has survived, too.
			first := 500 - len(events)
			_, gaps := held(t, log.All().From(ids[3]))
			if len(gaps) != 1 || gaps[0].From != ids[3] || gaps[0].To != ids[first-1] {
				t.Errorf("a client that resumes from event 3 is told of %v, want a gap from %s to %s", gaps, ids[3], ids[first-1])
			}
			if _, gaps := held(t, log.All().From(ids[first])); len(gaps) != 0 {
				t.Errorf("a client that has the oldest event is told of %v", gaps[0])
			}
			// One publish of more than there is room for keeps its end.
			var many []*stream.Event
			for i := 500; i < 700; i++ {
				many = append(many, event(strconv.Itoa(i)))
			}
			if err := b.Publish(t.Context(), topic, &stream.Publication{Events: many}); err != nil {
				t.Fatal(err)
			}
			after, _ := follow(t, b, topic)
			events, _ = held(t, after.All().From(stream.ID{}))
			wantNumbers(t, events, 700-len(events), 700)
			if len(events) > 50 {
				t.Errorf("%d events are held", len(events))
			}
			_ = live
		})
	}
}

// A follower that is overtaken by what the file keeps is told.
func TestOvertaken(t *testing.T) {
	b := open(t, t.TempDir(), disklog.Options{History: 20})
	ids := publish(t, b, 0, 10)
	log, stop := follow(t, b, topic)
	reader := log.All().From(ids[9])
	stop()
	ids = append(ids, publish(t, b, 10, 100)...)
	reports, _ := followInto(t, b, topic, log)
	if err := await(t, reports); err != nil {
		t.Fatal(err)
	}
	events, gaps := held(t, reader)
	wantNumbers(t, events, 80, 100)
	if len(gaps) != 1 || gaps[0].From != ids[9] || gaps[0].To != ids[79] || gaps[0].Reason != eventlog.GapExpired {
		t.Errorf("told of %v, want a gap from %s to %s", gaps, ids[9], ids[79])
	}
}

// What is published while the disk is busy is committed together.
func TestGroupCommit(t *testing.T) {
	const publishers = 100
	b := open(t, t.TempDir(), disklog.Options{Sync: true})
	publish(t, b, 0, 1)
	resume, err := b.Stall()
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for i := range publishers {
		work.Go(func() {
			if err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{event(strconv.Itoa(i))}}); err != nil {
				t.Error(err)
			}
		})
	}
	for b.Waiting() < publishers {
		time.Sleep(time.Millisecond) // nothing tells of it
	}
	before := b.Commits()
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	work.Wait()
	if n := b.Commits() - before; n > 5 {
		t.Errorf("%d publishers that waited took %d commits", publishers, n)
	}
}

// A disk that hangs holds nobody for longer than the caller wants.
func TestDiskHangs(t *testing.T) {
	b := open(t, t.TempDir(), disklog.Options{})
	ids := publish(t, b, 0, 1)
	log, _ := follow(t, b, topic)
	resume, err := b.Stall()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{event("late")}})
	if !errors.Is(err, stream.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnavailable and the context's error", err)
	}
	if events, gaps := held(t, log.All().From(ids[0])); len(events)+len(gaps) > 0 {
		t.Errorf("a follower got %v, %v", events, gaps)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, 1, 2)
}

func TestClose(t *testing.T) {
	b, err := disklog.Open(t.TempDir(), disklog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, 0, 3)
	reports, _ := followInto(t, b, topic, eventlog.New(eventlog.Options{}))
	if err := await(t, reports); err != nil {
		t.Fatal(err)
	}
	shut(t, b)
	shut(t, b) // again changes nothing
	if err := await(t, reports); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Follow: %v, want ErrUnavailable", err)
	}
	if err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{event("x")}}); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Publish: %v, want ErrUnavailable", err)
	}
	reports, _ = followInto(t, b, topic, eventlog.New(eventlog.Options{}))
	if err := await(t, reports); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Follow after Close: %v, want ErrUnavailable", err)
	}
	if err := b.Ping(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Ping: %v, want ErrUnavailable", err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, disklog.Options{})
	began := time.Now()
	_, err := disklog.Open(dir, disklog.Options{})
	if !errors.Is(err, disklog.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrLocked and the directory", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestBadDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := disklog.Open(file, disklog.Options{}); err == nil || errors.Is(err, disklog.ErrDamaged) {
		t.Errorf("a file for a directory: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, disklog.File), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := disklog.Open(dir, disklog.Options{}); err == nil || errors.Is(err, disklog.ErrDamaged) {
		t.Errorf("a directory for a file: %v", err)
	}
}

// A file that is cut while it is open fails those who read it, not the process.
func TestCutWhileOpen(t *testing.T) {
	dir := t.TempDir()
	b, err := disklog.Open(dir, disklog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	publish(t, b, 0, 1000)
	if err := os.Truncate(filepath.Join(dir, disklog.File), 8192); err != nil {
		t.Fatal(err)
	}
	reports, _ := followInto(t, b, topic, eventlog.New(eventlog.Options{}))
	if err := await(t, reports); !errors.Is(err, stream.ErrUnavailable) || !errors.Is(err, disklog.ErrDamaged) {
		t.Errorf("Follow: %v, want ErrUnavailable and ErrDamaged", err)
	}
}

func contextWithPatience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}
