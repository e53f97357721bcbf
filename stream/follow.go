package stream

import (
	"context"
	"errors"
	"time"
)

// endPatience bounds how long EndTopic waits for a broker.
const endPatience = 10 * time.Second

// follow lets the broker feed a topic's log until the hub is closed. The
// caller does not hold h.mu: what the broker reports is told to hooks, which
// may ask the hub.
func (h *Hub) follow(t *topic) {
	stop := h.opts.Broker.Follow(t.name, t.log, func(err error) { h.reported(t, err) })
	t.mu.Lock()
	t.unfollow = stop
	removed := t.removed
	t.mu.Unlock()
	if removed || h.ctx.Err() != nil { // RemoveTopic or Close may have come before there was anything to stop
		stop()
	}
}

// reported takes what the broker says of its touch with a topic.
func (h *Hub) reported(t *topic, err error) {
	if err != nil {
		h.changed(t, &t.broker, SourceFailing, err)
		return
	}
	select {
	case <-t.joined:
	default: // reports come one after the other
		close(t.joined)
	}
	h.changed(t, &t.broker, SourceUp, nil)
}

// unfollowAll ends the following of all topics, and waits for that.
func (h *Hub) unfollowAll() {
	h.mu.RLock()
	topics := make([]*topic, 0, len(h.topics))
	for _, t := range h.topics {
		topics = append(topics, t)
	}
	h.mu.RUnlock()
	for _, t := range topics {
		t.mu.Lock()
		stop := t.unfollow
		t.mu.Unlock()
		if stop != nil {
			stop()
		}
	}
}

// Checkpoint returns the last checkpoint that was published to a topic, and nil
// if there is none or the broker keeps none. Without a broker it is kept as
// long as the hub is there. The error wraps ErrNoTopic or ErrUnavailable.
func (h *Hub) Checkpoint(ctx context.Context, name string) ([]byte, error) {
	t, err := h.topic(name)
	if err != nil {
		return nil, err
	}
	if h.opts.Broker == nil {
		t.store.Lock()
		defer t.store.Unlock()
		return append([]byte(nil), t.checkpoint...), nil
	}
	if c, ok := h.opts.Broker.(Checkpointer); ok {
		return c.Checkpoint(ctx, name)
	}
	return nil, nil
}

// EndTopic ends a topic for good: clients that have all of it are told not to
// come back. With a broker the end is stored there, so that it holds on every
// node and after a restart; the error then wraps ErrUnavailable when the end
// could not be stored. Ending a topic again changes nothing.
func (h *Hub) EndTopic(name, reason string) error {
	t, err := h.topic(name)
	if err != nil {
		return err
	}
	if reason == "" {
		reason = "ended"
	}
	ctx, cancel := context.WithTimeout(h.ctx, endPatience)
	defer cancel()
	if err := h.store(ctx, t, &Publication{End: reason}); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// sleep reports whether the hub is still open after a while.
func (h *Hub) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-h.ctx.Done():
		return false
	}
}
