package streamtest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

func testUp(t *testing.T, b stream.Broker) {
	const backlog = 2000
	topic := newTopic()
	last := publishRange(t, b, topic, 0, backlog, 100)
	f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	f.waitUp(t)
	if f.atUp.Compare(last) < 0 {
		t.Errorf("the broker was in touch when the log stood at %s, before the backlog was in, which ends at %s", f.atUp, last)
	}
	publishRange(t, b, topic, backlog, backlog+3, 1)
	wantRange(t, f.read(t, backlog+3), 0)
}

func testUpEmpty(t *testing.T, b stream.Broker) {
	topic := newTopic()
	f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	f.waitUp(t)
	publishRange(t, b, topic, 0, 3, 1)
	wantRange(t, f.read(t, 3), 0)
}

func testSeam(t *testing.T, b stream.Broker) {
	const events, followers = 1500, 5
	topic := newTopic()
	reached := make(chan struct{}, followers) // a value for each part of the events that is in
	done := make(chan error, 1)
	go func() {
		defer close(reached)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for n := range events {
			if err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{numbered(n)}}); err != nil {
				done <- err
				return
			}
			if n%(events/followers) == 0 {
				reached <- struct{}{}
			}
		}
		done <- nil
	}()
	var followed []*follower
	for range reached {
		followed = append(followed, follow(t, b, topic, eventlog.New(eventlog.Options{})))
	}
	if err := <-done; err != nil {
		t.Fatalf("Publish: %v", err)
	}
	for _, f := range followed {
		wantRange(t, f.read(t, events), 0)
	}
}

func testTwoFollowers(t *testing.T, b stream.Broker) {
	topic := newTopic()
	publishRange(t, b, topic, 0, 10, 5)
	one := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	one.waitUp(t)
	publishRange(t, b, topic, 10, 20, 5)
	two := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	two.waitUp(t)
	publishRange(t, b, topic, 20, 30, 5)
	a, c := one.read(t, 30), two.read(t, 30)
	wantRange(t, a, 0)
	wantRange(t, c, 0)
	for i := range a {
		if a[i].ID != c[i].ID {
			t.Errorf("event %d has ID %s for one follower and %s for the other", i, a[i].ID, c[i].ID)
		}
	}
}

func testConcurrentPublishers(t *testing.T, b stream.Broker) {
	const publishers, each, batch = 8, 60, 3
	topic := newTopic()
	f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	f.waitUp(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var work sync.WaitGroup
	published := make([][]*stream.Event, publishers)
	for p := range publishers {
		work.Go(func() {
			for n := 0; n < each; n += batch {
				var events []*stream.Event
				for i := range batch {
					events = append(events, numbered(p*each+n+i))
				}
				if err := b.Publish(ctx, topic, &stream.Publication{Events: events}); err != nil {
					t.Errorf("Publish: %v", err)
					return
				}
				published[p] = append(published[p], events...)
			}
		})
	}
	work.Wait()
	if t.Failed() {
		return
	}
	byPublisher := make([][]*stream.Event, publishers)
	var last stream.ID
	for _, e := range f.read(t, publishers*each) {
		if !e.ID.After(last) {
			t.Fatalf("ID %s is not after %s", e.ID, last)
		}
		last = e.ID
		n, err := strconv.Atoi(string(e.Data))
		if err != nil {
			t.Fatal(err)
		}
		byPublisher[n/each] = append(byPublisher[n/each], e)
	}
	for p, events := range byPublisher {
		if len(events) != each {
			t.Fatalf("%d events of publisher %d are in, want %d", len(events), p, each)
		}
		wantRange(t, events, p*each)
		for i, e := range events {
			if want := published[p][i].ID; e.ID != want {
				t.Errorf("publisher %d was told ID %s for its event %d, which is in under %s", p, want, i, e.ID)
			}
		}
	}
}

func testTopics(t *testing.T, b stream.Broker) {
	odd, even := newTopic(), newTopic()
	before := follow(t, b, odd, eventlog.New(eventlog.Options{}))
	before.waitUp(t)
	for n := range 20 {
		topic, event := odd, numbered(n/2)
		if n%2 == 1 {
			topic, event = even, numbered(100+n/2)
		}
		publish(t, b, topic, event)
	}
	wantRange(t, before.read(t, 10), 0)
	wantRange(t, follow(t, b, odd, eventlog.New(eventlog.Options{})).read(t, 10), 0)
	wantRange(t, follow(t, b, even, eventlog.New(eventlog.Options{})).read(t, 10), 100)
}

func testResume(t *testing.T, b stream.Broker) {
	topic := newTopic()
	log := eventlog.New(eventlog.Options{})
	publishRange(t, b, topic, 0, 5, 5)
	first := follow(t, b, topic, log)
	first.waitUp(t)
	publishRange(t, b, topic, 5, 10, 1)
	wantRange(t, first.read(t, 10), 0)
	first.stop(t)
	last := publishRange(t, b, topic, 10, 700, 30)
	second := follow(t, b, topic, log)
	second.waitUp(t)
	if at := second.atUp; at.Compare(last) < 0 {
		t.Errorf("the broker was in touch when the log stood at %s, before the backlog was in, which ends at %s", at, last)
	}
	publishRange(t, b, topic, 700, 703, 1)
	// The same reader goes on, without a gap, a hole or a duplicate.
	wantRange(t, (&follower{cursor: first.cursor}).read(t, 693), 10)
	second.stop(t)
	follow(t, b, topic, log).waitUp(t) // though nothing has been missed
}

func testRewind(t *testing.T, b stream.Broker) {
	topic := newTopic()
	publishRange(t, b, topic, 0, 3, 1)
	// The log has followed a broker that was ahead of this one.
	log := eventlog.New(eventlog.Options{})
	ahead := numbered(-1)
	ahead.ID = eventlog.IDAt(time.Now().Add(time.Hour))
	if err := log.Insert(ahead); err != nil {
		t.Fatal(err)
	}
	reader := log.All().Live()
	f := follow(t, b, topic, log)
	f.waitUp(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := reader.Next(ctx)
	var gap *eventlog.Gap
	if !errors.As(err, &gap) {
		t.Fatalf("a reader of a log that was ahead of the broker got %v, want a gap", err)
	}
	marker := numbered(3)
	publish(t, b, topic, marker)
	for {
		batch, err := reader.Next(ctx)
		if err != nil {
			t.Fatalf("after the gap: %v", err)
		}
		if e := batch[len(batch)-1]; e.ID == marker.ID {
			return
		}
	}
}

// Once stop has returned, the log is as it was, whatever is published.
func testStop(t *testing.T, b stream.Broker) {
	topic := newTopic()
	witness := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const rounds, batch = 30, 20
	for n := range rounds {
		f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for i := range batch {
				if err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{numbered(n*batch + i)}}); err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		})
		if n%2 == 0 {
			f.waitUp(t)
		}
		f.stop(t)
		head := f.log.Stats().Head
		publishing.Wait()
		wantRange(t, witness.read(t, batch), n*batch) // by now they would be in
		if now := f.log.Stats().Head; now != head {
			t.Fatalf("after stop, %d entries came into the log", now-head)
		}
	}
}

func testCancel(t *testing.T, b stream.Broker) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := b.Publish(ctx, newTopic(), &stream.Publication{Events: []*stream.Event{numbered(0)}})
	if err != nil && !errors.Is(err, stream.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with a context that was done: %v, want an error that wraps ErrUnavailable or the context's", err)
	}
}
