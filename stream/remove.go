package stream

import (
	"slices"
	"time"
)

// RemoveTopic removes a topic. Its streams end, and are told to close. What a
// broker holds of the topic stays there. A source that feeds it goes on, and
// fails. The error wraps ErrNoTopic.
func (h *Hub) RemoveTopic(name string) error {
	t, err := h.topic(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.removed = true
	t.mu.Unlock()
	h.forget(t)
	t.log.Close("the topic was removed")
	return nil
}

// forget takes a topic, which is marked as removed, out of the hub.
func (h *Hub) forget(t *topic) {
	h.mu.Lock()
	if h.topics[t.name] == t {
		delete(h.topics, t.name)
		h.order = slices.DeleteFunc(h.order, func(name string) bool { return name == t.name })
		if t.onDemand {
			if h.demanded[t.label()]--; h.demanded[t.label()] == 0 {
				delete(h.demanded, t.label())
			}
		}
	}
	h.mu.Unlock()
	t.mu.Lock()
	stop := t.unfollow
	t.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// sweepEvery is the least time between two sweeps.
const sweepEvery = time.Second

// sweepLater sees to it that idle topics are looked for; the caller holds h.mu.
func (h *Hub) sweepLater(ttl time.Duration) {
	if ttl > 0 && !h.sweeping {
		h.sweeping = true
		time.AfterFunc(max(ttl/8, sweepEvery), h.sweep)
	}
}

// sweep removes the topics that have been idle for their time.
func (h *Hub) sweep() {
	if h.ctx.Err() != nil {
		return
	}
	now := time.Now()
	var idle []*topic
	h.mu.Lock()
	h.sweeping = false
	next := time.Duration(0) // the shortest time to live
	for _, t := range h.topics {
		ttl := t.opts.IdleTTL
		if !t.onDemand || ttl <= 0 {
			continue
		}
		if next == 0 || ttl < next {
			next = ttl
		}
		if t.idle(now) {
			idle = append(idle, t)
		}
	}
	h.sweepLater(next)
	h.mu.Unlock()
	for _, t := range idle {
		h.forget(t)
	}
}

// idle reports whether a topic's time is over, and marks it as removed then: no
// reader can join it any more.
func (t *topic) idle(now time.Time) bool {
	last := t.log.Last().Time()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers > 0 || now.Sub(t.used) < t.opts.IdleTTL || now.Sub(last) < t.opts.IdleTTL {
		return false
	}
	t.removed = true
	return true
}
