package stream_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

// A shakyBroker loses touch when it is told to, and finds it again some tries
// later.
type shakyBroker struct {
	streamtest.MemoryBroker
	cut chan struct{}
}

func (b *shakyBroker) Follow(topic string, log *eventlog.Log, report func(error)) (stop func()) {
	following := b.MemoryBroker.Follow(topic, log, report)
	over := make(chan struct{})
	go func() {
		defer close(over)
		<-b.cut
		following()
		for range 4 {
			report(fmt.Errorf("%w: cut", stream.ErrUnavailable))
			time.Sleep(time.Second)
		}
		following = b.MemoryBroker.Follow(topic, log, report)
	}()
	return func() {
		<-over
		following()
	}
}

// An outage of the broker is told once to those who are connected, and to those
// who connect during it; not to those who connect after it, though no event has
// come yet.
func TestBrokerOutageIsToldWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &shakyBroker{cut: make(chan struct{})}
		f := newFixture(t, stream.HubOptions{Broker: broker}, &stream.Handler{Heartbeat: time.Hour})
		synctest.Wait()
		before := f.subscribe(t, "")
		close(broker.cut)
		cut := time.Now()
		told := before.want(t, "stream-error")
		time.Sleep(time.Second)
		during := f.subscribe(t, "")
		if again := during.want(t, "stream-error"); string(again.Data) != string(told.Data) {
			t.Errorf("one outage is told as %s, then as %s", told.Data, again.Data)
		}
		var fault struct{ Time time.Time }
		if err := json.Unmarshal(told.Data, &fault); err != nil || fault.Time.Before(cut.Add(-time.Millisecond)) || fault.Time.After(cut.Add(30*time.Second)) {
			t.Errorf("the outage that began at %v is told as of %v, %v", cut, fault.Time, err)
		}
		for f.hub.Health()["a"].Broker.State != stream.SourceUp {
			time.Sleep(100 * time.Millisecond) // of the bubble's time
		}
		after := f.subscribe(t, "")
		id := f.publish(t, "1")
		for _, s := range []*subscription{before, during, after} {
			s.wantIDs(t, id...)
		}
	})
}
