package stream

import (
	"context"
	"errors"

	"weir/stream/sse"
)

// taken takes note of whether the broker has taken a publication. A broker that hangs is
// noticed by those who publish first: of the third publication in a row that it does not
// take the clients are told, unless they know already. It is told once. An event ends it.
func (t *topic) taken(ctx context.Context, err error) {
	switch {
	case err == nil:
		if t.refused.Load() > 0 {
			t.refused.Store(0)
		}
	case !errors.Is(err, ErrUnavailable) || ctx.Err() != nil: // or the publisher did not wait
	case t.refused.Add(1) == failuresToTell:
		t.mu.Lock()
		known := t.broker.State == SourceDown
		t.mu.Unlock()
		if !known {
			t.log.Announce(sse.EventStreamError, messageJSON("The event broker takes no events at present: what is published is refused or comes late. The stream stays open and goes on when it is back."), false)
		}
	}
}
