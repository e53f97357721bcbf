package streamtest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"weir/stream"
	"weir/stream/eventlog"
)

// submit publishes more than events.
func submit(t *testing.T, b stream.Broker, topic string, p *stream.Publication) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Publish(ctx, topic, p); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// wantEnd reads n events and then the end of the topic.
func (f *follower) wantEnd(t *testing.T, n int, reason string) []*stream.Event {
	t.Helper()
	events := f.read(t, n)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := f.cursor.Next(ctx)
	var ended *eventlog.Ended
	if !errors.As(err, &ended) || ended.Reason != reason {
		t.Fatalf("after the last event came %v, want the end for the reason %q", err, reason)
	}
	return events
}

// testEnd ends a topic together with its last events.
func testEnd(t *testing.T, b stream.Broker) {
	const reason = "all said; \"ü\""
	topic, other := newTopic(), newTopic()
	live := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	live.waitUp(t)
	publish(t, b, topic, numbered(0))
	last := &stream.Publication{Events: []*stream.Event{numbered(1), numbered(2)}, End: reason}
	submit(t, b, topic, last)
	if id := last.Events[1].ID; !id.After(last.Events[0].ID) {
		t.Errorf("the last events have the IDs %s and %s", last.Events[0].ID, id)
	}
	for _, p := range []*stream.Publication{
		{Events: []*stream.Event{numbered(3)}},
		{End: "again"},
		{Events: []*stream.Event{numbered(3)}, Checkpoint: []byte("too late"), End: "again"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := b.Publish(ctx, topic, p); !errors.Is(err, stream.ErrClosed) || errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("Publish to a topic that has ended: %v, want ErrClosed", err)
		}
		cancel()
	}
	late := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	late.waitUp(t)
	if late.log.Ended() == "" {
		t.Error("the broker was in touch before the end that it held was in the log")
	}
	for _, f := range []*follower{live, late} {
		events := f.wantEnd(t, 3, reason)
		wantRange(t, events, 0)
		if events[2].ID != last.Events[1].ID {
			t.Errorf("the last event is followed under ID %s, and was published under %s", events[2].ID, last.Events[1].ID)
		}
	}
	if f := follow(t, b, other, eventlog.New(eventlog.Options{})); f.log.Ended() != "" {
		t.Error("another topic has ended, too")
	}
	// Without any event, and without an end: the end alone.
	submit(t, b, other, &stream.Publication{End: "nothing to say"})
	follow(t, b, other, eventlog.New(eventlog.Options{})).wantEnd(t, 0, "nothing to say")
}

// testEndedBefore has a log go on that has followed the topic before its end.
func testEndedBefore(t *testing.T, b stream.Broker) {
	topic := newTopic()
	log := eventlog.New(eventlog.Options{})
	publishRange(t, b, topic, 0, 3, 1)
	first := follow(t, b, topic, log)
	first.waitUp(t)
	wantRange(t, first.read(t, 3), 0)
	first.stop(t)
	submit(t, b, topic, &stream.Publication{Events: []*stream.Event{numbered(3)}, End: "over"})
	second := follow(t, b, topic, log)
	second.waitUp(t)
	wantRange(t, (&follower{cursor: first.cursor}).wantEnd(t, 1, "over"), 3)
}

// testCheckpoint stores checkpoints together with events and without.
func testCheckpoint(t *testing.T, b stream.Broker) {
	c, ok := b.(stream.Checkpointer)
	if !ok {
		t.Skip("the broker stores no checkpoints")
	}
	topic := newTopic()
	want := func(checkpoint []byte) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		got, err := c.Checkpoint(ctx, topic)
		if err != nil || !slices.Equal(got, checkpoint) || (got == nil) != (checkpoint == nil) {
			t.Fatalf("the checkpoint is %q, %v, want %q", got, err, checkpoint)
		}
	}
	want(nil)
	publish(t, b, topic, numbered(0))
	want(nil)
	first := []byte("line 7\x00\xff\r\n")
	submit(t, b, topic, &stream.Publication{Events: []*stream.Event{numbered(1)}, Checkpoint: first})
	want([]byte("line 7\x00\xff\r\n"))
	first[0] = '!' // the caller's own
	want([]byte("line 7\x00\xff\r\n"))
	publish(t, b, topic, numbered(2))
	want([]byte("line 7\x00\xff\r\n"))
	submit(t, b, topic, &stream.Publication{Checkpoint: []byte("a blank line")})
	want([]byte("a blank line"))
	submit(t, b, topic, &stream.Publication{Checkpoint: []byte{}})
	want([]byte{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{numbered(3)}, Checkpoint: []byte("too late")}); err != nil {
		want([]byte{})
	}
	submit(t, b, topic, &stream.Publication{Events: []*stream.Event{numbered(4)}, Checkpoint: []byte("last"), End: "over"})
	want([]byte("last"))
}
