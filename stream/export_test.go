package stream

import (
	"context"
	"time"
)

// A PacedCursor sees what a connection sees, when a connection sees it.
type PacedCursor struct {
	*Cursor
	turn chan struct{}
}

// Paced puts a cursor into a lane.
func Paced(c *Cursor) *PacedCursor {
	c.lane = c.log.join("")
	p := &PacedCursor{c, make(chan struct{}, 1)}
	c.log.onTurn(c.lane, func() {
		select {
		case p.turn <- struct{}{}:
		default:
		}
	})
	return p
}

// Next is as Cursor's.
func (p *PacedCursor) Next(ctx context.Context) (*Batch, error) {
	for {
		if b, _, err := p.read(); b != nil || err != nil {
			return b, err
		}
		select {
		case <-p.turn:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Part is what the end of a connection does.
func Part(p *PacedCursor) { p.log.part(p.lane) }

// SetWriting says how long writing to the connections of a cursor's lane took.
func SetWriting(p *PacedCursor, d time.Duration) { p.lane.sweep.Store(int64(d)) }
