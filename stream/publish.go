package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"weir/stream/eventlog"
)

// Publish puts events into a topic, all or none, and returns their IDs once
// they are in the log, or in the broker where there is one. Fields left empty
// get their defaults: data that is no JSON is Text. The error wraps ErrNoTopic,
// ErrInvalid, ErrTooLarge, ErrClosed or ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, topic string, events ...Event) ([]ID, error) {
	p := &Publication{Events: make([]*Event, len(events))}
	for i, e := range events {
		p.Events[i] = &e // the log's own: the caller may reuse the slice
	}
	if err := h.Submit(ctx, topic, p); err != nil {
		return nil, err
	}
	ids := make([]ID, len(p.Events))
	for i, e := range p.Events {
		ids[i] = e.ID
	}
	return ids, nil
}

// Submit is Publish for more than events: a publication can also end the
// topic, and keep a checkpoint. Its events belong to the hub from then on.
func (h *Hub) Submit(ctx context.Context, topic string, p *Publication) error {
	t, err := h.demand(topic)
	for err == nil && !t.touch() { // it is being removed
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("publish to %s: %w", topic, ctx.Err())
		}
		t, err = h.demand(topic)
	}
	if err != nil {
		return err
	}
	for i, e := range p.Events {
		if err := complete(e, topic); err != nil {
			if len(p.Events) > 1 {
				return fmt.Errorf("event %d of %d: %w", i+1, len(p.Events), err)
			}
			return err
		}
	}
	var done []func(ID, error)
	if h.opts.Hooks.Publish != nil {
		done = make([]func(ID, error), len(p.Events))
		for i, e := range p.Events {
			done[i] = h.opts.Hooks.Publish(ctx, topic, e)
		}
	}
	err = h.store(ctx, t, p)
	for i, f := range done {
		if f != nil {
			f(p.Events[i].ID, err)
		}
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// complete fills in what an event leaves out, and checks it.
func complete(e *Event, topic string) error {
	if e.ContentType == "" {
		if e.ContentType = JSON; !json.Valid(e.Data) {
			e.ContentType = Text
		}
	}
	if err := e.Validate(); err != nil {
		return err
	}
	if e.Type == "" {
		e.Type = eventlog.DefaultType
	}
	if e.Source == "" {
		e.Source = "/topics/" + topic
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return nil
}

// store stores a publication: in the broker, or without one in the log.
func (h *Hub) store(ctx context.Context, t *topic, p *Publication) error {
	if h.opts.Broker != nil {
		if t.log.Ended() != "" {
			return ErrClosed
		}
		if err := t.log.Fits(p.Events); err != nil {
			return err // every node's log would lose the beginning
		}
		return h.opts.Broker.Publish(ctx, t.name, p)
	}
	t.store.Lock()
	defer t.store.Unlock()
	duplicate, err := t.log.Append(p.Events...)
	if err != nil {
		return err
	}
	p.Duplicate = duplicate
	if p.Checkpoint != nil {
		t.checkpoint = append([]byte(nil), p.Checkpoint...)
	}
	if p.End != "" {
		t.log.Close(p.End)
	}
	return nil
}
