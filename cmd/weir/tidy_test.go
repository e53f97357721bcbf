package main

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once after a surge, when it is over; steady arrivals, and
// few, are the runtime's business.
func TestTidy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var connections, freed atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go tidy(ctx, connections.Load, func() { freed.Add(1) })
		time.Sleep(time.Second / 2)
		arrive := func(each int64, seconds int) {
			for range seconds {
				connections.Add(each)
				time.Sleep(time.Second)
			}
		}
		for _, step := range []struct {
			each    int64
			seconds int
			want    int64
		}{
			{0, 10, 0},
			{900, 1, 0}, {0, 10, 0}, // few
			{3000, 3, 0}, {0, 10, 1}, // a surge, and its end
			{100, 100, 1}, // steady
			{1, 10, 2},    // and nearly none
		} {
			arrive(step.each, step.seconds)
			if n := freed.Load(); n != step.want {
				t.Fatalf("after %d connections a second for %d s memory was given back %d times, want %d", step.each, step.seconds, n, step.want)
			}
		}
	})
}
