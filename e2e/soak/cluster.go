//go:build unix

package main

import (
	"context"
	"regexp"
	"syscall"
	"time"
)

// cluster is two nodes over a Redis that loses nothing, under 200 events a
// second.
func (s *soak) cluster(ctx context.Context, dir string) (*stage, error) {
	redis, err := newRedis(dir, "redis")
	if err != nil {
		return nil, err
	}
	s.redis = append(s.redis, &redis.process)
	var nodes []*node
	for _, name := range []string{"A", "B"} {
		n, err := newNode(dir, name, s.binary, "-redis", "redis://"+redis.addr+"/0", "-source", "soak=http",
			"-max-conns", "0", "-max-requests", "600", "-max-requests-per-client", "300")
		if err != nil {
			return nil, err
		}
		n.redises = append(n.redises, redis)
		n.excused = regexp.MustCompile("broker down") // that Redis is away is an error, and no wonder
		nodes = append(nodes, n)
	}
	g := newStage("cluster", nodes...).fed(50*time.Millisecond, s.fault)
	g.steady, g.churn, g.slow = s.options.steady, s.options.churn, s.options.slow
	if g.foreign, err = foreigners(ctx, dir); err != nil {
		return nil, err
	}
	g.prepare = redis.start
	a, b := nodes[0], nodes[1]
	stopped := 0
	g.disasters = []calamity{
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
			if err := redis.end(syscall.SIGKILL, patience); err != nil {
				return err
			}
			sleep(ctx, between(200*time.Millisecond, s.longStop/2))
			return redis.start(ctx)
		}},
		{"redis stopped for some seconds", func(ctx context.Context) error {
			return redis.freeze(ctx, between(brokerTimeout, s.longStop))
		}},
		{"redis read-only for some seconds, and the nodes say so", func(ctx context.Context) error {
			// A replica of nobody keeps what it has, and takes nothing.
			if err := redis.must(ctx, "REPLICAOF 127.0.0.1 1"); err != nil {
				return err
			}
			for _, n := range nodes {
				if err := n.unready(ctx); err != nil {
					return err
				}
			}
			sleep(ctx, between(0, s.longStop/2))
			return redis.must(ctx, "REPLICAOF NO ONE")
		}},
		{"a node stopped for some seconds", func(ctx context.Context) error {
			n := nodes[stopped%len(nodes)]
			stopped++
			return n.freeze(ctx, between(writeTimeout, s.longStop))
		}},
		{"300 sockets that do not read, at node A", func(ctx context.Context) error { return s.flood(ctx, a, true) }},
	}
	return g, nil
}
