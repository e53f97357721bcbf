//go:build unix

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// A calamity is a kind of fault that the soak brings about. run returns when
// everything works again.
type calamity struct {
	name string
	run  func(ctx context.Context) error
}

func (s *soak) calamities() []calamity {
	a, b := s.nodes[0], s.nodes[1]
	stopped := 0
	return []calamity{
		{"node A killed and restarted", func(ctx context.Context) error {
			if err := a.end(syscall.SIGKILL, patience); err != nil {
				return err
			}
			sleep(ctx, between(200*time.Millisecond, s.longStop/2))
			return a.start(ctx)
		}},
		{"node B drained and restarted", func(ctx context.Context) error {
			if err := b.end(syscall.SIGTERM, patience); err != nil {
				return err
			}
			if status := b.cmd.ProcessState.ExitCode(); status != 0 {
				s.fault("node B ended with status %d after SIGTERM", status)
			}
			return b.start(ctx)
		}},
		{"redis killed and restarted with its data", func(ctx context.Context) error {
			if err := s.redis.end(syscall.SIGKILL, patience); err != nil {
				return err
			}
			sleep(ctx, between(200*time.Millisecond, s.longStop/2))
			if err := s.redis.start(ctx); err != nil {
				return err
			}
			return s.ready(ctx)
		}},
		{"redis stopped for some seconds", func(ctx context.Context) error {
			if err := s.redis.freeze(ctx, between(brokerTimeout, s.longStop)); err != nil {
				return err
			}
			return s.ready(ctx)
		}},
		{"a node stopped for some seconds", func(ctx context.Context) error {
			n := s.nodes[stopped%len(s.nodes)]
			stopped++
			if err := n.freeze(ctx, between(writeTimeout, s.longStop)); err != nil {
				return err
			}
			return n.ready(ctx)
		}},
	}
}

func (s *soak) ready(ctx context.Context) error {
	for _, n := range s.nodes {
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// disturb brings about one fault after the other, at even times, until the end
// has come and there was each kind.
func (s *soak) disturb(ctx context.Context, end time.Time) error {
	kinds := s.calamities()
	next := time.Now().Add(s.faultEvery / 2)
	for i := 0; ; i++ {
		c := kinds[i%len(kinds)]
		last := i >= len(kinds) && next.After(end)
		if last {
			next = end
		}
		sleep(ctx, time.Until(next))
		if ctx.Err() != nil || last {
			return ctx.Err()
		}
		began := time.Now()
		s.say("» %s", c.name)
		if err := c.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		s.mu.Lock()
		s.happened[c.name]++
		s.mu.Unlock()
		s.say("  works again after %.1f s", time.Since(began).Seconds())
		next = later(next.Add(s.faultEvery), time.Now().Add(time.Second))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
