//go:build unix

package main

import (
	"context"
	"fmt"
	"time"
)

// A calamity is a kind of misfortune that the soak brings about. run returns
// when everything works again.
type calamity struct {
	name string
	run  func(ctx context.Context) error
}

// disturb brings about one misfortune of the stage after the other, at even
// times, until the end has come and there was each kind.
func (s *soak) disturb(ctx context.Context, g *stage, end time.Time) error {
	if len(g.disasters) == 0 {
		sleep(ctx, time.Until(end))
		return ctx.Err()
	}
	next := time.Now().Add(s.faultEvery / 2)
	for i := 0; ; i++ {
		c := g.disasters[i%len(g.disasters)]
		last := i >= len(g.disasters) && next.After(end)
		if last {
			next = end
		}
		sleep(ctx, time.Until(next))
		if ctx.Err() != nil || last {
			return ctx.Err()
		}
		began := time.Now()
		s.say("» %s: %s", g.name, c.name)
		err := c.run(ctx)
		if err == nil {
			err = g.ready(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", g.name, c.name, err)
		}
		s.mu.Lock()
		s.happened[g.name+": "+c.name]++
		s.mu.Unlock()
		s.say("  %s: works again after %.1f s (%s)", g.name, time.Since(began).Seconds(), c.name)
		next = later(next.Add(s.faultEvery), time.Now().Add(time.Second))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
