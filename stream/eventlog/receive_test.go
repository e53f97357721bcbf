package eventlog_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

// An event that somebody else has numbered is in the log when it has been received, with
// all that came with it: not before.
func TestEntersWhenReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var received []time.Time
		l := eventlog.New(eventlog.Options{History: 10, Numbered: true, Receive: func(*eventlog.Event) {
			time.Sleep(time.Millisecond)
			received = append(received, time.Now())
		}})
		c := l.All().From(l.Last())
		events := []*eventlog.Event{event(1), event(2)}
		id := l.Last()
		for _, e := range events {
			id = id.Next(time.Now())
			e.ID = id
		}
		if err := l.Insert(events...); err != nil {
			t.Fatal(err)
		}
		entries, err := next(t, c)
		if err != nil || len(entries) != 2 || len(received) != 2 {
			t.Fatalf("%d entries of %d events received: %v", len(entries), len(received), err)
		}
		for i, e := range entries {
			if e.At.Before(received[i]) {
				t.Errorf("event %d was in the log %v before it had been received", i, received[i].Sub(e.At))
			}
		}
	})
}
