package streamtest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"weir/stream"
	"weir/stream/eventlog"
)

// fromElsewhere returns an event that its publisher gave an ID of its own.
func fromElsewhere(source, id string, n int) *stream.Event {
	e := numbered(n)
	e.Source, e.ForeignID = source, id
	return e
}

// testDuplicate publishes events again.
func testDuplicate(t *testing.T, b stream.Broker) {
	topic := newTopic()
	f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	first := []*stream.Event{fromElsewhere("/a", "1", 0), numbered(1), fromElsewhere("/a", "2", 2)}
	p := &stream.Publication{Events: first, Duplicate: []bool{true}}
	submit(t, b, topic, p)
	if p.Duplicate != nil {
		t.Errorf("new events are said to be duplicates: %v", p.Duplicate)
	}
	want := func(what string, p *stream.Publication, again ...*stream.Event) {
		t.Helper()
		submit(t, b, topic, p)
		for i, was := range again {
			duplicate := p.Duplicate != nil && p.Duplicate[i]
			if duplicate != (was != nil) {
				t.Errorf("%s: event %d is said to be a duplicate: %v", what, i, duplicate)
			}
			if was != nil && p.Events[i].ID != was.ID {
				t.Errorf("%s: event %d has the ID %s, want the first one's, %s", what, i, p.Events[i].ID, was.ID)
			}
			if was == nil && p.Events[i].ID.IsZero() {
				t.Errorf("%s: event %d has no ID", what, i)
			}
		}
	}
	want("alone", &stream.Publication{Events: []*stream.Event{fromElsewhere("/a", "1", -1)}}, first[0])
	want("among others", &stream.Publication{Events: []*stream.Event{
		fromElsewhere("/b", "1", 3), fromElsewhere("/a", "2", -1), numbered(4), fromElsewhere("/a", "1", -1), fromElsewhere("/a", "3", 5),
	}}, nil, first[2], nil, first[0], nil)
	twice := &stream.Publication{Events: []*stream.Event{fromElsewhere("/c", "1", 6), fromElsewhere("/c", "1", -1)}}
	submit(t, b, topic, twice)
	if !slices.Equal(twice.Duplicate, []bool{false, true}) || twice.Events[1].ID != twice.Events[0].ID {
		t.Errorf("twice in one publication: %v, IDs %s and %s", twice.Duplicate, twice.Events[0].ID, twice.Events[1].ID)
	}
	// Whatever stands beside a duplicate counts.
	want("before a checkpoint", &stream.Publication{Events: []*stream.Event{fromElsewhere("/a", "1", -1)}, Checkpoint: []byte("here")}, first[0])
	if c, ok := b.(stream.Checkpointer); ok {
		if got, err := c.Checkpoint(context.Background(), topic); err != nil || string(got) != "here" {
			t.Errorf("the checkpoint beside a duplicate is %q, %v", got, err)
		}
	}
	// Another topic has IDs of its own.
	other := &stream.Publication{Events: []*stream.Event{fromElsewhere("/a", "1", 0)}}
	submit(t, b, newTopic(), other)
	if other.Duplicate != nil {
		t.Error("an event of another topic is taken for a duplicate")
	}
	// So has another subject: who may publish about one learns and hides nothing of
	// another.
	about := func(subject string, n int) *stream.Event {
		e := fromElsewhere("/a", "1", n)
		e.Subject = subject
		return e
	}
	subject := about("eu", 7)
	want("about another subject", &stream.Publication{Events: []*stream.Event{subject, about("us", 8)}}, nil, nil)
	want("about that subject again", &stream.Publication{Events: []*stream.Event{about("eu", -1), about("", -1)}}, subject, first[0])
	want("with the end", &stream.Publication{Events: []*stream.Event{fromElsewhere("/a", "1", -1), numbered(9)}, End: "over"}, first[0], nil)
	wantRange(t, f.wantEnd(t, 10, "over"), 0)
	// Whoever did not hear the answer to the last events may ask again.
	want("again after the end", &stream.Publication{Events: []*stream.Event{about("eu", -1), fromElsewhere("/a", "1", -1)}, End: "over"}, subject, first[0])
	late := &stream.Publication{Events: []*stream.Event{fromElsewhere("/a", "1", -1), numbered(11)}}
	if err := b.Publish(context.Background(), topic, late); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("something new after the end: %v, want ErrClosed", err)
	}
}

// testDuplicateRace publishes the same events from many sides at once.
func testDuplicateRace(t *testing.T, b stream.Broker) {
	const publishers, events = 6, 40
	topic := newTopic()
	ids := make([][]stream.ID, publishers)
	var work sync.WaitGroup
	for p := range publishers {
		work.Go(func() {
			for n := range events {
				e := fromElsewhere("/s", strconv.Itoa(n), n)
				if err := b.Publish(context.Background(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
					t.Errorf("Publish: %v", err)
					return
				}
				ids[p] = append(ids[p], e.ID)
			}
		})
	}
	work.Wait()
	f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	got := f.read(t, events)
	wantRange(t, got, 0)
	for p := range ids {
		for n, id := range ids[p] {
			if id != got[n].ID {
				t.Errorf("publisher %d was told ID %s for event %d, which is in under %s", p, id, n, got[n].ID)
			}
		}
	}
}

// testManyTopics follows topics on which nothing happens.
func testManyTopics(t *testing.T, b stream.Broker) {
	const topics = 300
	follow(t, b, newTopic(), eventlog.New(eventlog.Options{})).waitUp(t)
	before := runtime.NumGoroutine()
	name := newTopic()
	var followers []*follower
	for i := range topics {
		followers = append(followers, follow(t, b, name+strconv.Itoa(i), eventlog.New(eventlog.Options{})))
	}
	for _, f := range followers {
		f.waitUp(t)
	}
	if more := runtime.NumGoroutine() - before; more > 20 {
		t.Errorf("%d topics that are followed need %d goroutines", topics, more)
	}
	last := followers[topics-1]
	publish(t, b, name+strconv.Itoa(topics-1), numbered(0))
	wantRange(t, last.read(t, 1), 0)
}
