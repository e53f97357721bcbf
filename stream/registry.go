package stream

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// A registry holds the topics of a hub by name, and finds those whose time is
// over. Its methods may be called by any goroutine.
type registry struct {
	forgetter Forgetter // nil: no broker has to be told
	logger    *slog.Logger

	mu       sync.RWMutex
	topics   map[string]*topic
	order    []string       // of the topics that were not made on demand
	demanded map[string]int // topics on demand, by label
	sweeper  *time.Timer    // calls sweep; nil before there is anything to sweep
	sweepAt  time.Time      // when it will; zero: it will not
	roomAt   time.Time      // when makeRoom last looked
	closed   bool
}

// get returns a topic that is there, or an error that wraps ErrNoTopic.
func (r *registry) get(name string) (*topic, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t := r.topics[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %.80q", ErrNoTopic, name)
}

// put returns the topic with that name: the one that is there, or the one that
// build makes. The error is ErrTooMany.
func (r *registry) put(name string, opts TopicOptions, onDemand bool, build func() *topic) (t *topic, made bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := func() bool { return onDemand && opts.Max > 0 && r.demanded[opts.label(name)] >= opts.Max }
	if r.topics[name] == nil && full() {
		r.makeRoom(opts.label(name))
	}
	if t := r.topics[name]; t != nil {
		return t, false, nil
	}
	if full() {
		return nil, false, ErrTooMany
	}
	t = build()
	if r.topics == nil {
		r.topics, r.demanded = make(map[string]*topic), make(map[string]int)
	}
	r.topics[t.name] = t
	if onDemand {
		r.demanded[t.label()]++
		r.sweepLater(opts.IdleTTL)
	} else {
		r.order = append(r.order, t.name)
	}
	return t, true, nil
}

// forget takes a topic out, which is marked as removed, and ends its following.
func (r *registry) forget(t *topic) {
	r.mu.Lock()
	if r.topics[t.name] == t {
		delete(r.topics, t.name)
		close(t.gone)
		r.order = slices.DeleteFunc(r.order, func(name string) bool { return name == t.name })
		if t.onDemand {
			if r.demanded[t.label()]--; r.demanded[t.label()] == 0 {
				delete(r.demanded, t.label())
			}
		}
	}
	r.mu.Unlock()
	t.stopFollowing()
	if b := t.health().Broker; b != nil && (b.State == SourceFailing || b.State == SourceDown) {
		t.changed(&t.broker, SourceEnded, nil) // hooks shall not wait for it to be well
	}
}

// all returns every topic, in no order.
func (r *registry) all() []*topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.topics))
}

// named returns the topics that were not made on demand, in the order in which
// they were made.
func (r *registry) named() []*topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	named := make([]*topic, 0, len(r.order))
	for _, name := range r.order {
		named = append(named, r.topics[name])
	}
	return named
}

// onDemand returns the topics that were made on demand, in no order.
func (r *registry) onDemand() []*topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	made := make([]*topic, 0, len(r.topics)-len(r.order))
	for _, t := range r.topics {
		if t.onDemand {
			made = append(made, t)
		}
	}
	return made
}

// first returns the name of the topic that was made first, or "".
func (r *registry) first() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.order) == 0 {
		return ""
	}
	return r.order[0]
}

// some returns the names of at most so many topics that were made on demand.
func (r *registry) some(most int) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []string
	for name, t := range r.topics {
		if len(names) >= most {
			break
		}
		if t.onDemand {
			names = append(names, name)
		}
	}
	return names
}

// counts returns how many topics there are that were made on demand, by label.
func (r *registry) counts() map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	counts := make(map[string]int, len(r.demanded))
	maps.Copy(counts, r.demanded)
	return counts
}

// close ends the looking for idle topics.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// makeRoom removes the topics of a label that hold nothing and that nobody reads:
// whoever may read could otherwise use up all names by asking for each of them once.
// The caller holds r.mu, which is given up for a while.
func (r *registry) makeRoom(label string) {
	now := time.Now()
	if now.Sub(r.roomAt) < sweepEvery {
		return // it looks at every topic
	}
	r.roomAt = now
	var unused []*topic
	for _, t := range r.topics {
		if t.onDemand && t.label() == label && t.unused(now) {
			unused = append(unused, t)
		}
	}
	r.mu.Unlock()
	defer r.mu.Lock()
	for _, t := range unused {
		r.forget(t)
	}
}

// sweepEvery is the least time between two sweeps.
const sweepEvery = time.Second

// sweepLater sees to it that a topic with this time to live is looked for in
// time: a look that is planned for later comes sooner. The caller holds r.mu.
func (r *registry) sweepLater(ttl time.Duration) {
	if ttl <= 0 || r.closed {
		return
	}
	wait := max(ttl/8, sweepEvery)
	at := time.Now().Add(wait)
	if !r.sweepAt.IsZero() && !at.Before(r.sweepAt) {
		return
	}
	r.sweepAt = at
	if r.sweeper == nil {
		r.sweeper = time.AfterFunc(wait, r.sweep)
	} else {
		r.sweeper.Reset(wait)
	}
}

// sweep removes the topics that have been idle for their time.
func (r *registry) sweep() {
	now := time.Now()
	var idle []*topic
	r.mu.Lock()
	r.sweepAt = time.Time{}
	next := time.Duration(0) // the shortest time to live
	for _, t := range r.topics {
		ttl := t.opts.IdleTTL
		if r.closed || !t.onDemand || ttl <= 0 {
			continue
		}
		if next == 0 || ttl < next {
			next = ttl
		}
		if t.idle(now) {
			idle = append(idle, t)
		}
	}
	r.sweepLater(next)
	r.mu.Unlock()
	for some := range slices.Chunk(idle, maxForget) {
		r.expire(some)
	}
}

// Bounds of what a broker is told to forget.
const (
	maxForget      = 1024 // topics at once
	forgetPatience = 10 * time.Second
)

// expire forgets topics whose time is over. The broker forgets them first: from it they
// would come back under their names, which are free only then.
func (r *registry) expire(idle []*topic) {
	if r.forgetter != nil {
		names := make([]string, len(idle))
		for i, t := range idle {
			names[i] = t.name
			t.stopFollowing()
		}
		ctx, cancel := context.WithTimeout(context.Background(), forgetPatience)
		defer cancel()
		if err := r.forgetter.Forget(ctx, names...); err != nil {
			r.logger.Error("topics whose time is over stay in the broker", "topics", len(names), "error", err)
		}
	}
	for _, t := range idle {
		r.forget(t)
	}
}
