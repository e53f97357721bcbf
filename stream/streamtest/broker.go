package streamtest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// TestBroker checks that a broker keeps the promises of stream.Broker, and of
// stream.Checkpointer if it is one. open is called for each part of the suite
// and returns a broker that is reachable, holds at least 4000 events a topic,
// and closes itself by t.Cleanup. Brokers may share a server: each part uses
// topics of its own, with random names.
func TestBroker(t *testing.T, open func(t *testing.T) stream.Broker) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, b stream.Broker)
	}{
		{"Order", testOrder},
		{"Fidelity", testFidelity},
		{"Nothing", testNothing},
		{"AllOrNone", testAllOrNone},
		{"Up", testUp},
		{"UpEmpty", testUpEmpty},
		{"Seam", testSeam},
		{"TwoFollowers", testTwoFollowers},
		{"ConcurrentPublishers", testConcurrentPublishers},
		{"Topics", testTopics},
		{"Resume", testResume},
		{"Rewind", testRewind},
		{"Stop", testStop},
		{"Cancel", testCancel},
		{"End", testEnd},
		{"EndedBefore", testEndedBefore},
		{"Checkpoint", testCheckpoint},
		{"Duplicate", testDuplicate},
		{"DuplicateRace", testDuplicateRace},
		{"ManyTopics", testManyTopics},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
}

// A follower is a log that follows a topic, and a reader of that log.
type follower struct {
	log    *eventlog.Log
	cursor *eventlog.Cursor
	end    func()
	up     chan struct{} // closed by the first report of nil
	atUp   stream.ID     // the log's last ID then

	mu      sync.Mutex
	reports []error
	stopped bool
	late    bool // there was a report after the end
}

// follow starts to follow; the log is read from its oldest entry. The follower
// is stopped when the test ends.
func follow(t *testing.T, b stream.Broker, topic string, log *eventlog.Log) *follower {
	t.Helper()
	f := &follower{log: log, cursor: log.All().From(stream.ID{}), up: make(chan struct{})}
	f.end = b.Follow(topic, log, f.report)
	t.Cleanup(func() { f.stop(t) })
	return f
}

func (f *follower) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = f.late || f.stopped
	f.reports = append(f.reports, err)
	if err == nil && len(f.reports) == 1 {
		f.atUp = f.log.Last()
		close(f.up)
	}
}

func (f *follower) waitUp(t *testing.T) {
	t.Helper()
	select {
	case <-f.up:
	case <-time.After(patience):
		f.mu.Lock()
		defer f.mu.Unlock()
		t.Fatalf("the broker is not in touch; it reported %v", f.reports)
	}
}

// stop ends the following, twice, and checks what was reported.
func (f *follower) stop(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.end()
		f.end()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("stop did not return")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if len(f.reports) > 1 || len(f.reports) == 1 && f.reports[0] != nil {
		t.Errorf("a broker that is well reported %v, want nil, once", f.reports)
	}
	if f.late {
		t.Error("the broker reported after it had been stopped")
	}
}

// read returns the next n events of the follower's log.
func (f *follower) read(t *testing.T, n int) []*stream.Event {
	t.Helper()
	events, err := readEvents(f.cursor, n)
	if err != nil {
		t.Fatalf("got %d of %d events: %v", len(events), n, err)
	}
	return events
}

// readEvents reads n events, and fails on a gap.
func readEvents(c *eventlog.Cursor, n int) ([]*stream.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var events []*stream.Event
	for len(events) < n {
		batch, err := c.Next(ctx)
		if err != nil {
			return events, err
		}
		for _, e := range batch {
			if e.Event != nil {
				events = append(events, e.Event)
			}
		}
	}
	if len(events) > n {
		return events, fmt.Errorf("there are %d more events than were published", len(events)-n)
	}
	return events, nil
}

// numbered returns an event whose data is a number.
func numbered(n int) *stream.Event {
	return &stream.Event{Type: "weir.test", Source: "/streamtest", ContentType: stream.JSON, Time: time.Now(), Data: strconv.AppendInt(nil, int64(n), 10)}
}

func publish(t *testing.T, b stream.Broker, topic string, events ...*stream.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Publish(ctx, topic, &stream.Publication{Events: events}); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// publishRange publishes the numbers from..to-1 in batches.
func publishRange(t *testing.T, b stream.Broker, topic string, from, to, batch int) (last stream.ID) {
	t.Helper()
	for n := from; n < to; n += batch {
		var events []*stream.Event
		for i := n; i < min(n+batch, to); i++ {
			events = append(events, numbered(i))
		}
		publish(t, b, topic, events...)
		last = events[len(events)-1].ID
	}
	return last
}

// wantRange checks that events carry the numbers from, from+1 … with rising IDs.
func wantRange(t *testing.T, events []*stream.Event, from int) {
	t.Helper()
	var last stream.ID
	for i, e := range events {
		if got, want := string(e.Data), strconv.Itoa(from+i); got != want {
			t.Fatalf("event %d carries %s, want %s: a hole, a duplicate or another order", i, got, want)
		}
		if !e.ID.After(last) {
			t.Fatalf("event %d has ID %s, which is not after %s", i, e.ID, last)
		}
		last = e.ID
	}
}
