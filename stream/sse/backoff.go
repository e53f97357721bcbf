package sse

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A backoff says how long to wait.
type backoff struct {
	retry    time.Duration // as the server asks
	own      time.Duration // as the program asks: what is doubled by failures
	max      time.Duration
	failures int // in a row
}

const (
	// steady is for how long a stream must last to be no failure.
	steady = 5 * time.Second
	// leastGrowth is the smallest time from which doubling starts.
	leastGrowth = 100 * time.Millisecond
)

func newBackoff(retry, most time.Duration) backoff {
	if retry <= 0 {
		retry = 2 * time.Second
	}
	if most <= 0 {
		most = 30 * time.Second
	}
	return backoff{retry: retry, own: retry, max: most}
}

// after returns how long to wait when a stream that was opened at that time (or
// was not: zero) has ended with err.
func (b *backoff) after(err error, opened time.Time) time.Duration {
	if opened.IsZero() || time.Since(opened) < steady {
		b.failures++
	} else {
		b.failures = 0
	}
	// What the server asks is a least time: if that is long already, it is not
	// doubled.
	wait := b.retry
	if b.failures > 1 {
		grown := max(min(b.own, b.retry), min(leastGrowth, b.max))
		for range b.failures - 1 {
			if grown >= b.max {
				break
			}
			grown = min(2*grown, b.max)
		}
		wait = max(wait, grown)
	}
	jitter := spread(wait / 2)
	if status := (*StatusError)(nil); errors.As(err, &status) && status.RetryAfter > 0 {
		wait = status.RetryAfter
	}
	return wait + jitter
}

// spread returns a time from 0 to most, by chance.
func spread(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most + 1)
}

// sleep waits, and returns an error when ctx is done before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
