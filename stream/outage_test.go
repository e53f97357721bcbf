package stream_test

import (
	"context"
	"fmt"
	"sync/atomic"
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
		before.want(t, "stream-error")
		during := f.subscribe(t, "")
		during.want(t, "stream-error")
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

// A refusingBroker takes no events while it is told so, and stays in touch.
type refusingBroker struct {
	streamtest.MemoryBroker
	refuses atomic.Bool
}

func (b *refusingBroker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	if b.refuses.Load() {
		return fmt.Errorf("%w: no answer", stream.ErrUnavailable)
	}
	return b.MemoryBroker.Publish(ctx, topic, p)
}

// A broker that hangs is told of by the third publication in a row that it refuses, once
// an outage; not by one whose publisher has gone, nor by three with others between.
func TestBrokerThatTakesNoEventsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &refusingBroker{}
		f := newFixture(t, stream.HubOptions{Broker: broker}, &stream.Handler{Heartbeat: time.Hour})
		synctest.Wait()
		s := f.subscribe(t, "")
		refused := func(ctx context.Context, n int) {
			t.Helper()
			broker.refuses.Store(true)
			defer broker.refuses.Store(false)
			for range n {
				if _, err := f.hub.Publish(ctx, "a", stream.Event{Data: []byte("0")}); err == nil {
					t.Fatal("it was taken")
				}
			}
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		for range 2 {
			refused(t.Context(), 2)
			refused(gone, 2)
			s.wantIDs(t, f.publish(t, "1")...) // and no stream-error before it
		}
		for range 2 {
			refused(t.Context(), 5)
			s.want(t, "stream-error")
			s.wantIDs(t, f.publish(t, "2")...)
		}
	})
}
