package disklog_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/eventlog"
)

// submit publishes more than events.
func submit(t testing.TB, b *disklog.Broker, topic string, p *stream.Publication) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, p); err != nil {
		t.Fatal(err)
	}
}

// identified returns an event that is the same wherever it comes from.
func identified(n int) *stream.Event {
	e := event(fmt.Sprint(n))
	e.Source, e.ForeignID = "/sensor", fmt.Sprint(n)
	return e
}

// A topic that nothing was ever published to keeps its floor, so that a client
// that comes back after a restart has missed nothing.
func TestNeverPublished(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, disklog.Options{})
	log, _ := follow(t, b, topic)
	position := log.Last()
	shut(t, b)
	until(t, "another time", func() bool { return time.Now().UnixMilli() > int64(position.Milli)+1 })
	for range 3 {
		b = open(t, dir, disklog.Options{})
		log, stop := follow(t, b, topic)
		if events, gaps := held(t, log.All().From(position)); len(events)+len(gaps) > 0 {
			t.Errorf("a client that comes back is told of %v, %v", events, gaps)
		}
		_, gaps := held(t, log.All().From(stream.ID{Milli: position.Milli - 1000}))
		if len(gaps) != 1 || gaps[0].Reason != eventlog.GapRestart {
			t.Errorf("a client from before is told of %v, want a gap of a restart", gaps)
		}
		stop()
		shut(t, b)
	}
	b = open(t, dir, disklog.Options{})
	publish(t, b, 0, 1)
	log, _ = follow(t, b, topic)
	events, gaps := held(t, log.All().From(position))
	wantNumbers(t, events, 0, 1)
	if len(gaps) > 0 {
		t.Errorf("told of %v", gaps)
	}
}

// A client that comes back for what was trimmed is told that it has expired.
func TestTrimmed(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, disklog.Options{History: 10})
	ids := publish(t, b, 0, 50)
	shut(t, b)
	log, _ := follow(t, open(t, dir, disklog.Options{History: 10}), topic)
	_, gaps := held(t, log.All().From(ids[0]))
	if len(gaps) != 1 || gaps[0].Reason != eventlog.GapExpired {
		t.Errorf("told of %v, want a gap of what has expired", gaps)
	}
}

// An event that is larger than all that a topic may hold is delivered, to those
// who follow and after a restart.
func TestLargerThanTheBound(t *testing.T) {
	dir := t.TempDir()
	opts := disklog.Options{Bytes: 1000}
	b := open(t, dir, opts)
	live, _ := follow(t, b, topic)
	reader := live.All().From(live.Last())
	for i, size := range []int{5000, 1 << 20, 3 << 20, 10} {
		e := event(strings.Repeat("x", size))
		submit(t, b, topic, &stream.Publication{Events: []*stream.Event{e}})
		until(t, "the event", func() bool { return live.Last() == e.ID })
		events, gaps := held(t, reader)
		if len(events) != 1 || len(events[0].Data) != size || len(gaps) > 0 {
			t.Fatalf("event %d: got %d events, %v", i, len(events), gaps)
		}
		shut(t, b)
		b = open(t, dir, opts)
		log, stop := follow(t, b, topic)
		if events, _ := held(t, log.All().From(stream.ID{})); len(events) != 1 || len(events[0].Data) != size {
			t.Fatalf("event %d: after a restart there are %d events", i, len(events))
		}
		stop()
		live, _ = follow(t, b, topic)
		reader = live.All().From(live.Last())
	}
}

// until waits for a condition.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Every event arrives without another one behind it, however the commits and the
// reading fall together.
func TestNoEventWaitsForTheNext(t *testing.T) {
	b := open(t, memoryDir(t), disklog.Options{})
	const topics, rounds = 8, 400
	failed := make(chan string, topics)
	for i := range topics {
		name := fmt.Sprint("t", i)
		log, _ := follow(t, b, name)
		reader := log.All().Live()
		go func() {
			for n := range rounds {
				e := event(fmt.Sprint(n))
				if err := b.Publish(t.Context(), name, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
					failed <- err.Error()
					return
				}
				ctx, cancel := contextWithPatience()
				batch, err := reader.Next(ctx)
				cancel()
				if err != nil || len(batch) != 1 || batch[0].ID != e.ID {
					failed <- fmt.Sprintf("event %d has not arrived: %v", n, err)
					return
				}
			}
			failed <- ""
		}()
	}
	for range topics {
		if why := <-failed; why != "" {
			t.Error(why)
		}
	}
}

// A topic that has ended stays ended.
func TestEndAfterRestart(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, disklog.Options{})
	live, _ := follow(t, b, topic)
	submit(t, b, topic, &stream.Publication{Events: []*stream.Event{event("0")}, End: "all said"})
	until(t, "the end", func() bool { return live.Ended() == "all said" })
	for range 2 {
		shut(t, b)
		b = open(t, dir, disklog.Options{})
		log, _ := follow(t, b, topic)
		if log.Ended() != "all said" {
			t.Errorf("after a restart the end is %q", log.Ended())
		}
		err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{event("1")}})
		if !errors.Is(err, stream.ErrClosed) || errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("publishing: %v, want ErrClosed", err)
		}
	}
}

// An event is stored once, as long as the topic holds it, across restarts.
func TestOnce(t *testing.T) {
	dir := t.TempDir()
	opts := disklog.Options{History: 10}
	b := open(t, dir, opts)
	first := identified(1)
	submit(t, b, topic, &stream.Publication{Events: []*stream.Event{first}})
	again := func(want bool) {
		t.Helper()
		e := identified(1)
		p := &stream.Publication{Events: []*stream.Event{event("other"), e}}
		submit(t, b, topic, p)
		if got := p.Duplicate != nil && p.Duplicate[1]; got != want || p.Duplicate != nil && p.Duplicate[0] {
			t.Fatalf("the duplicates are %v, want that of event 1 to be %v", p.Duplicate, want)
		}
		if want && e.ID != first.ID || !want && !e.ID.After(first.ID) {
			t.Fatalf("the event has ID %s, the first had %s", e.ID, first.ID)
		}
	}
	again(true)
	shut(t, b)
	b = open(t, dir, opts)
	again(true)
	twice := &stream.Publication{Events: []*stream.Event{identified(2), identified(2)}}
	submit(t, b, topic, twice)
	if len(twice.Duplicate) != 2 || !twice.Duplicate[1] || twice.Events[0].ID != twice.Events[1].ID {
		t.Errorf("twice in one publication: %v", twice.Duplicate)
	}
	other := identified(1)
	other.Source = "/other"
	submit(t, b, topic, &stream.Publication{Events: []*stream.Event{other}})
	if other.ID == first.ID {
		t.Error("an event of another source is taken for the first")
	}
	publish(t, b, 0, 10) // the first is pushed out
	again(false)
	shut(t, b)
	log, _ := follow(t, open(t, dir, opts), topic) // the index is whole
	if events, _ := held(t, log.All().From(stream.ID{})); len(events) != 10 {
		t.Errorf("%d events are held", len(events))
	}
}

// A checkpoint is there after a restart, also when it came without events.
func TestCheckpointAfterRestart(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, disklog.Options{})
	for i, p := range []*stream.Publication{
		{Events: []*stream.Event{event("0")}, Checkpoint: []byte("zero")},
		{Checkpoint: []byte("one")},
		{Checkpoint: []byte{}},
	} {
		want := string(p.Checkpoint)
		submit(t, b, topic, p)
		shut(t, b)
		b = open(t, dir, disklog.Options{})
		got, err := b.Checkpoint(t.Context(), topic)
		if err != nil || got == nil || string(got) != want {
			t.Errorf("checkpoint %d is %q (nil: %v), want %q: %v", i, got, got == nil, want, err)
		}
	}
	if got, err := b.Checkpoint(t.Context(), "none"); err != nil || got != nil {
		t.Errorf("a topic without one has checkpoint %q, %v", got, err)
	}
}

// A file of the first version opens, and goes on.
func TestFirstVersion(t *testing.T) {
	packed, err := os.Open("testdata/first-version.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, disklog.File), content, 0o600); err != nil {
		t.Fatal(err)
	}
	opts := disklog.Options{History: 50}
	for round := range 3 {
		b := open(t, dir, opts)
		log, _ := follow(t, b, "old")
		events, _ := held(t, log.All().From(stream.ID{}))
		wantNumbers(t, events, 30+20*round, 80+20*round)
		for i := range 20 {
			submit(t, b, "old", &stream.Publication{Events: []*stream.Event{identified(80 + 20*round + i)}})
		}
		shut(t, b)
	}
}

// An empty topic costs little memory and no goroutine.
func TestManyTopics(t *testing.T) {
	const topics = 20_000
	dir := memoryDir(t)
	b := open(t, dir, disklog.Options{})
	logs := make([]*eventlog.Log, topics)
	for i := range logs {
		logs[i] = eventlog.New(eventlog.Options{})
	}
	stops := make([]func(), 0, topics)
	ups := make(chan error, topics)
	goroutines := runtime.NumGoroutine()
	before := heap()
	for i := range topics {
		stops = append(stops, b.Follow(fmt.Sprint("topic", i), logs[i], func(err error) { ups <- err }))
	}
	for range topics {
		if err := <-ups; err != nil {
			t.Fatal(err)
		}
	}
	if n := runtime.NumGoroutine() - goroutines; n > 2 {
		t.Errorf("%d topics have %d goroutines", topics, n)
	}
	// While the topics are being written, they take more.
	each := int64(0)
	until(t, "an empty topic to take 300 bytes at most", func() bool {
		each = (heap() - before) / topics
		return each <= 300
	})
	t.Logf("an empty topic takes %d bytes", each)
	for _, stop := range stops {
		stop()
	}
	shut(t, b)
	began := time.Now()
	open(t, dir, disklog.Options{})
	t.Logf("opening a file of %d empty topics takes %v", topics, time.Since(began))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
