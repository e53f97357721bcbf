//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const masterName = "soak"

// A watched Redis is a primary, a replica, and three Sentinels.
type watched struct {
	servers   []*redis
	sentinels []*redis
}

func newWatched(dir string) (*watched, error) {
	w := &watched{}
	for i := range 2 {
		r, err := newRedis(dir, fmt.Sprintf("redis-%d", i))
		if err != nil {
			return nil, err
		}
		w.servers = append(w.servers, r)
	}
	host, port, _ := net.SplitHostPort(w.servers[0].addr)
	w.servers[1].args = append(w.servers[1].args, "--replicaof", host+" "+port)
	for i := range 3 {
		r, err := newRedis(dir, fmt.Sprintf("sentinel-%d", i))
		if err != nil {
			return nil, err
		}
		_, own, _ := net.SplitHostPort(r.addr)
		conf := filepath.Join(r.dir, "sentinel.conf")
		text := fmt.Sprintf("port %[1]s\nbind %[2]s\ndir %[3]s\nsentinel monitor %[4]s %[2]s %[5]s 2\n"+
			"sentinel down-after-milliseconds %[4]s 1000\nsentinel failover-timeout %[4]s 4000\n", own, host, r.dir, masterName, port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		r.args = []string{conf, "--sentinel"}
		w.sentinels = append(w.sentinels, r)
	}
	return w, nil
}

func (w *watched) url() string {
	var addrs []string
	for _, r := range w.sentinels {
		addrs = append(addrs, r.addr)
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + masterName
}

func (w *watched) all() []*redis { return append(append([]*redis{}, w.servers...), w.sentinels...) }

func (w *watched) start(ctx context.Context) error {
	for _, r := range w.all() {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	_, _, err := w.settled(ctx)
	return err
}

// primary returns the server that is the primary, and the other, or nil.
func (w *watched) primary() (primary, other *redis) {
	for i, r := range w.servers {
		if r.tells("role:master") {
			return r, w.servers[1-i]
		}
	}
	return nil, nil
}

// settled waits until there is one primary with a replica that has all, and
// every Sentinel knows of both, and of the others.
func (w *watched) settled(ctx context.Context) (primary, other *redis, err error) {
	err = eventually(ctx, 2*patience, "Redis and its Sentinels have not settled", func() bool {
		primary, other = w.primary()
		if primary == nil || !primary.tells("connected_slaves:1", "state=online") || !other.tells("role:slave", "master_link_status:up") {
			return false
		}
		for _, r := range w.sentinels {
			if !r.tells("status=ok,address=" + primary.addr + ",slaves=1,sentinels=3") {
				return false
			}
		}
		return true
	})
	return primary, other, err
}

// handOver has the Sentinels make the other server the primary. They may give up,
// where another of them turns the new primary back into a replica before it has heard
// of that: then they are asked again.
func (w *watched) handOver(ctx context.Context, to *redis) error {
	asked := w.sentinels[0]
	var answer string
	err := eventually(ctx, 2*patience, "the Sentinels have not handed over", func() bool {
		if asked.tells("address=" + to.addr + ",") {
			return true
		}
		answer, _ = asked.ask("SENTINEL FAILOVER " + masterName) // refused while one is under way
		return false
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, answer)
	}
	return nil
}

// failover is two nodes over a Redis that is highly available. What a primary
// had acknowledged and not yet passed on is lost with it, and clients must be told.
func (s *soak) failover(ctx context.Context, dir string) (*stage, error) {
	w, err := newWatched(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range w.all() {
		s.redis = append(s.redis, &r.process)
	}
	var nodes []*node
	for _, name := range []string{"C", "D"} {
		n, err := newNode(dir, name, s.binary, "-redis", w.url(), "-source", "soak=http")
		if err != nil {
			return nil, err
		}
		n.redises = w.all()
		n.excused = regexp.MustCompile("broker down")
		nodes = append(nodes, n)
	}
	g := newStage("failover", nodes...).fed(500*time.Millisecond, s.fault)
	g.steady, g.churn, g.mayLose = 6, 10, true
	g.prepare = w.start
	begins := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.failures = append(g.failures, time.Now())
	}
	// takenOver waits until the other server is the primary and all works, brings
	// the first one back, and waits until it is a replica.
	takenOver := func(ctx context.Context, primary, other *redis, back func() error) error {
		err := eventually(ctx, patience, "the replica has not taken over", func() bool { return other.tells("role:master") })
		if err != nil {
			return err
		}
		if err := g.ready(ctx); err != nil {
			return err
		}
		if err := back(); err != nil {
			return err
		}
		_, _, err = w.settled(ctx)
		return err
	}
	kill := func(ctx context.Context, alone time.Duration) error {
		primary, other, err := w.settled(ctx)
		if err != nil {
			return err
		}
		begins()
		if alone > 0 {
			if err := other.must(ctx, "REPLICAOF NO ONE"); err != nil {
				return err
			}
			sleep(ctx, alone)
		}
		if err := primary.end(syscall.SIGKILL, patience); err != nil {
			return err
		}
		// It comes back as what it was; the Sentinels know better.
		return takenOver(ctx, primary, other, func() error { return primary.start(ctx) })
	}
	g.disasters = []calamity{
		{"the primary killed, its replica takes over", func(ctx context.Context) error { return kill(ctx, 0) }},
		{"the primary takes no writes, the nodes say so, its replica takes over", func(ctx context.Context) error {
			primary, other, err := w.settled(ctx)
			if err != nil {
				return err
			}
			begins()
			if err := primary.must(ctx, "CONFIG SET min-replicas-to-write 5"); err != nil {
				return err
			}
			for _, n := range nodes {
				if err := n.unready(ctx); err != nil {
					return err
				}
			}
			if err := w.handOver(ctx, other); err != nil {
				return err
			}
			return takenOver(ctx, primary, other, func() error { return primary.must(ctx, "CONFIG SET min-replicas-to-write 0") })
		}},
		{"the primary killed when its replica has been cut off: what that lacks is lost", func(ctx context.Context) error {
			return kill(ctx, 2*time.Second)
		}},
	}
	return g, nil
}
