package stream_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

// A shakyBroker loses touch when it is told to, and finds it again some tries
// later.
type shakyBroker struct {
	stream.MemoryBroker
	cut   chan struct{}
	tries atomic.Int32
}

func (b *shakyBroker) Follow(ctx context.Context, topic string, log *stream.Log, up func()) error {
	switch b.tries.Add(1) {
	case 1:
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() { <-b.cut; cancel() }()
		_ = b.MemoryBroker.Follow(ctx, topic, log, up)
		return fmt.Errorf("%w: cut", stream.ErrUnavailable)
	case 2, 3, 4:
		return fmt.Errorf("%w: still away", stream.ErrUnavailable)
	}
	return b.MemoryBroker.Follow(ctx, topic, log, up)
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
