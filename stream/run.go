package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"weir/stream/eventlog"
)

// The wait before a source or a broker is tried again.
const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 15 * time.Second
	// steadyRun is how long a run of a source lasts, however it ends, after
	// which the next wait is short.
	steadyRun = 10 * time.Second
)

// backoff returns the wait after so many failures in a row, with jitter.
func backoff(failures int, longest time.Duration) time.Duration {
	d := minBackoff << min(failures, 10)
	return time.Duration((0.5 + rand.Float64()/2) * float64(min(d, longest)))
}

// A publisher runs a source, and is the Publisher that the source is given.
type publisher struct {
	topic *topic

	mu   sync.Mutex
	last ID // of what the source has published
}

// run runs a source until the hub is closed or the topic ends.
func (p *publisher) run(s Source) {
	t := p.topic
	h := t.hub
	short := 0 // runs in a row
	for runs := 0; ; runs++ {
		t.mu.Lock()
		t.source.Restarts = runs
		t.mu.Unlock()
		began := time.Now()
		err := p.runOnce(s)
		if short++; time.Since(began) >= steadyRun {
			short = 0
		}
		switch {
		case h.ctx.Err() != nil:
			return
		case err == nil:
			p.end()
			t.changed(&t.source, SourceEnded, nil)
			return
		case errors.Is(err, ErrClosed) && t.log.Ended() != "":
			h.opts.Logger.Warn("the topic has ended: its source is not run any more", "topic", t.name, "reason", t.log.Ended())
			t.changed(&t.source, SourceEnded, nil)
			return
		case !errors.Is(err, ErrRestart):
			p.Fail(err)
		}
		t.mu.Lock()
		wait := backoff(max(t.source.Failures, short), maxBackoff)
		t.mu.Unlock()
		if !p.sleep(wait) {
			return
		}
	}
}

// runOnce turns a panic of a plug-in into a failure.
func (p *publisher) runOnce(s Source) (err error) {
	p.topic.ran(1)
	defer p.topic.ran(-1)
	defer func() {
		if r := recover(); r != nil {
			if p.again() { // Hooks.Source tells of each
				err = &panicError{r}
				return
			}
			p.topic.hub.opts.Logger.Error("a source panicked", "topic", p.topic.name, "panic", r, "stack", string(debug.Stack()))
			err = &panicError{r}
		}
	}()
	return s.Run(p.topic.hub.ctx, p)
}

// again reports whether the source has panicked before, and not been well since.
func (p *publisher) again() bool {
	p.topic.mu.Lock()
	defer p.topic.mu.Unlock()
	_, is := p.topic.source.Err.(*panicError)
	return is
}

// sleep reports whether the hub is still open after a while.
func (p *publisher) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-p.topic.hub.ctx.Done():
		return false
	}
}

// Publish implements [Publisher].
func (p *publisher) Publish(ctx context.Context, events ...Event) error {
	return p.PublishCheckpoint(ctx, nil, events...)
}

func (p *publisher) published(ids ...ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if id.After(p.last) {
			p.last = id
		}
	}
}

// end ends the topic in this process, after what the source has published. With a
// broker these events arrive in the log a little later. The broker is not told: the
// end of one process's source, such as of its standard input, is no end for other
// nodes, nor for the next process.
func (p *publisher) end() {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	for c := p.topic.log.All().Live(); last.After(p.topic.log.Last()); {
		_, err := c.Next(p.topic.hub.ctx)
		var gap *eventlog.Gap
		if err != nil && (!errors.As(err, &gap) || gap.Reason == eventlog.GapReset) {
			break // the broker has lost events, perhaps these
		}
	}
	p.topic.log.Close("the source has ended")
}

// Fail implements [Publisher].
func (p *publisher) Fail(err error) {
	if p.topic.hub.ctx.Err() != nil {
		return
	}
	p.topic.changed(&p.topic.source, SourceFailing, err)
}

// Checkpoint implements [CheckpointPublisher].
func (p *publisher) Checkpoint(ctx context.Context) ([]byte, error) {
	return p.topic.hub.Checkpoint(ctx, p.topic.name)
}

// PublishCheckpoint implements [CheckpointPublisher]. A place without events
// says nothing of how the source does.
func (p *publisher) PublishCheckpoint(ctx context.Context, checkpoint []byte, events ...Event) error {
	publication := &Publication{Checkpoint: checkpoint, Events: make([]*Event, len(events))}
	for i, e := range events {
		publication.Events[i] = &e
	}
	err := p.topic.hub.Submit(ctx, p.topic.name, publication)
	switch {
	case err == nil && len(events) > 0:
		p.published(publication.Events[len(events)-1].ID)
		p.topic.changed(&p.topic.source, SourceUp, nil)
	case errors.Is(err, ErrInvalid):
		p.Fail(err)
	}
	return err
}
