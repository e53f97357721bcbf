package stream

import (
	"context"
	"errors"
	"fmt"
)

var _ CheckpointPublisher = (*publisher)(nil)

// Checkpoint implements [CheckpointPublisher].
func (p *publisher) Checkpoint(ctx context.Context) ([]byte, error) {
	return p.hub.Checkpoint(ctx, p.topic.name)
}

// PublishCheckpoint implements [CheckpointPublisher]. A place without events
// says nothing of how the source does.
func (p *publisher) PublishCheckpoint(ctx context.Context, checkpoint []byte, events ...Event) error {
	if p.hub.ctx.Err() != nil {
		return fmt.Errorf("publish to %s: %w: the hub is closed", p.topic.name, ErrClosed)
	}
	publication := &Publication{Checkpoint: checkpoint, Events: make([]*Event, len(events))}
	for i, e := range events {
		publication.Events[i] = &e
	}
	err := p.hub.Submit(ctx, p.topic.name, publication)
	switch {
	case err == nil && len(events) > 0:
		p.published(publication.Events[len(events)-1].ID)
		p.hub.changed(p.topic, &p.topic.source, SourceUp, nil)
	case errors.Is(err, ErrInvalid):
		p.Fail(err)
	}
	return err
}
