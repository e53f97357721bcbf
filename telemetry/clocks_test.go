package telemetry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
	"weir/telemetry"
)

// TestClocksOfNodesDiffer: an event that another node published by a clock ahead of
// this one's, or long ago, begins here when it comes.
func TestClocksOfNodesDiffer(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"ahead": time.Hour, "long ago": -time.Hour, "a moment ago": -time.Second} {
		bubble(t, func(t *testing.T) {
			broker := &streamtest.MemoryBroker{}
			r := newRig(t, telemetry.Options{Node: "b"}, stream.HubOptions{Broker: broker})
			c := r.connect("/sse-stream", nil, nil)
			time.Sleep(time.Second)
			came := time.Now()
			e := &stream.Event{Type: "t", Source: "/s", Data: []byte(`1`), Traceparent: foreign, Origin: eventlog.Origin{Node: "a", Published: came.Add(ahead)}}
			if err := broker.Publish(t.Context(), "sensor", &stream.Publication{Events: []*stream.Event{e}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(5 * time.Second)
			c.leave()
			r.close()
			want := came
			if ahead == -time.Second {
				want = came.Add(ahead)
			}
			event := named(r.ended(), "event ")
			if len(event) != 1 || !event[0].StartTime().Equal(want) || event[0].EndTime().Before(event[0].StartTime()) {
				t.Errorf("%s: the event does not begin at %v:\n%s", name, want, r.tree())
			}
		})
	}
}
