package source

import (
	"context"
	"errors"
	"time"

	"weir/stream"
)

// The wait before a line is offered again that the broker could not take.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 2 * time.Second
)

// putLine publishes an event, and waits for as long as there is no broker to
// take it: the next line can wait too. An event that is refused has been
// counted by the publisher, and is no reason to stop.
func putLine(ctx context.Context, p stream.Publisher, e stream.Event) error {
	err := retry(ctx, func() error { return p.Publish(ctx, e) })
	if errors.Is(err, stream.ErrInvalid) {
		return nil
	}
	return err
}

// retry calls do until the broker is available.
func retry(ctx context.Context, do func() error) error {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		if err := do(); !errors.Is(err, stream.ErrUnavailable) {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// putReading publishes an event that is worth nothing later: when it cannot be
// taken now, it is dropped.
func putReading(ctx context.Context, p stream.Publisher, e stream.Event) error {
	err := p.Publish(ctx, e)
	if errors.Is(err, stream.ErrInvalid) || errors.Is(err, stream.ErrUnavailable) {
		return nil
	}
	return err
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended makes what Run returns of the error that stopped it: a topic that has
// been ended by somebody else is over for its source too.
func ended(err error) error {
	if errors.Is(err, stream.ErrClosed) {
		return nil
	}
	return err
}
