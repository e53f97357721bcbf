//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"weir/stream"
)

// A stage is a topic on one or more nodes, with its load, its clients and its
// misfortunes. The stages stand side by side: what befalls one leaves the others
// alone, but for the machine that they share.
type stage struct {
	name   string
	topic  string
	nodes  []*node
	ledger *ledger

	// One of them feeds the topic.
	publisher *publisher
	lines     *lineWriter

	steady    int                                      // clients that stay
	churn     int                                      // clients that come and go
	slow      int                                      // clients that stop reading, half of them for good
	foreign   []foreign                                // clients that stay, and that nobody here wrote
	mayLose   bool                                     // its broker loses what was acknowledged, and tells
	disasters []calamity                               // what befalls it
	ready     func(ctx context.Context) error          // waits until all is well again
	prepare   func(context.Context) error              // starts what the nodes need; nil: nothing
	with      *stage                                   // another topic of the same nodes; nil: none
	finish    func(context.Context) (stream.ID, error) // puts the last event in

	mu       sync.Mutex
	accounts []*account
	staid    []*account
	failures []time.Time // when Redis began to fail over
}

func newStage(name string, nodes ...*node) *stage {
	g := &stage{name: name, topic: "soak", nodes: nodes, ledger: &ledger{}}
	g.ready = func(ctx context.Context) error {
		for _, n := range g.nodes {
			if err := n.ready(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	return g
}

// fed gives the stage a publisher.
func (g *stage) fed(every time.Duration, fault func(string, ...any)) *stage {
	g.publisher = newPublisher(g, every, fault)
	g.finish = g.publisher.finish
	return g
}

// account opens one. It is kept to the end, when it is known what was in the topic.
func (g *stage) account(format string, args ...any) *account {
	a := &account{name: fmt.Sprintf(format, args...), stage: g, ledger: g.ledger, began: time.Now()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accounts = append(g.accounts, a)
	return a
}

// stays opens the account of a client that stays.
func (g *stage) stays(format string, args ...any) *account {
	a := g.account(format, args...)
	a.stays = true
	g.mu.Lock()
	defer g.mu.Unlock()
	g.staid = append(g.staid, a)
	return a
}

// any is one of the nodes.
func (g *stage) any() *node { return g.nodes[rand.IntN(len(g.nodes))] }

func (g *stage) streamPath() string { return "/sse-stream?topic=" + g.topic + "&format=json" }

// A throng is who is at a stage, in the order in which they are sent away.
type throng struct {
	churn, stalled, feed, stay sync.WaitGroup
	stopChurn, stopStalled     context.CancelFunc
	stopFeed, stopStay         context.CancelFunc
	patient                    context.Context // of those that wait to be cut
}

// enter lets clients and what feeds them in.
func (s *soak) enter(ctx context.Context, g *stage) *throng {
	t := &throng{}
	var churning, feeding, staying context.Context
	churning, t.stopChurn = context.WithCancel(ctx)
	t.patient, t.stopStalled = context.WithCancel(ctx)
	feeding, t.stopFeed = context.WithCancel(ctx)
	staying, t.stopStay = context.WithCancel(ctx)
	if g.publisher != nil {
		t.feed.Go(func() { g.publisher.run(feeding, ctx) })
	} else {
		t.feed.Go(func() { g.lines.run(feeding) })
	}
	for i := range g.steady {
		a := g.stays("steady client %d", i)
		t.stay.Go(func() {
			if i%3 == 1 {
				s.stayAsClient(staying, a)
			} else {
				s.stay(staying, a, i, false)
			}
		})
	}
	for i, f := range g.foreign {
		a := g.stays("%s", f.name)
		t.stay.Go(func() { s.stayAsForeigner(staying, a, f, g.nodes[i%len(g.nodes)]) })
	}
	for i := range g.slow {
		if i%2 == 0 {
			t.stalled.Go(func() { s.stall(churning, t.patient, g, i/2) })
			continue
		}
		a := g.stays("slow client %d", i)
		t.stay.Go(func() { s.stay(staying, a, i/2, true) })
	}
	for i := range g.churn {
		t.churn.Go(func() {
			sleep(churning, between(0, s.longest/4))
			s.churning(churning, g, i)
		})
	}
	return t
}

// leave sends all away, at once.
func (t *throng) leave() {
	for _, stop := range []func(){t.stopChurn, t.stopStalled, t.stopFeed, t.stopStay} {
		stop()
	}
	for _, group := range []*sync.WaitGroup{&t.churn, &t.stalled, &t.feed, &t.stay} {
		group.Wait()
	}
}

// conclude sends those away who come and go, ends what feeds the topic, and
// waits until those who stay have all of it. It returns the last event's ID.
func (s *soak) conclude(ctx context.Context, g *stage, t *throng) (marker stream.ID, err error) {
	t.stopChurn()
	t.churn.Wait()
	if g.slow > 0 { // they are cut only while there is something to read
		err := eventually(ctx, patience, "", func() bool { return s.stalled.Load() == 0 })
		if err != nil && ctx.Err() == nil {
			s.fault("%d clients that stopped reading have not been cut", s.stalled.Load())
		}
	}
	t.stopStalled()
	t.stalled.Wait()
	t.stopFeed()
	t.feed.Wait()
	if marker, err = g.finish(ctx); err != nil {
		return marker, fmt.Errorf("%s: %w", g.name, err)
	}
	err = eventually(ctx, patience, "", func() bool {
		for _, a := range g.staid {
			if !a.reached(marker) {
				return false
			}
		}
		return true
	})
	if err != nil && ctx.Err() == nil {
		for _, a := range g.staid {
			if !a.reached(marker) {
				s.fault("%s: %s has not come to the end of the topic", g.name, a.name)
			}
		}
	}
	return marker, nil
}
