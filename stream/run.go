package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"weir/stream/eventlog"
)

// failuresToTell is how many failures in a row the clients hear of.
const failuresToTell = 3

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

func (h *Hub) changed(t *topic, health *SourceHealth, state SourceState, err error) {
	t.mu.Lock()
	before := health.State
	switch state {
	case SourceUp:
		health.Failures, health.Err = 0, nil
	case SourceFailing:
		health.Failures++
		health.Total++
		health.Err = err
		if health.Failures >= failuresToTell {
			state = SourceDown
		}
	}
	if before != state {
		health.State, health.Since = state, time.Now()
	}
	failures := health.Failures
	t.mu.Unlock()
	if h.opts.Hooks.Source != nil && (before != state || err != nil) {
		h.opts.Hooks.Source(SourceChange{Topic: t.name, Broker: health == &t.broker, State: state, Failures: failures, Err: err})
	}
	if state == SourceUp && before == SourceDown && health == &t.broker {
		t.log.Recovered()
	}
	if state == SourceDown && before != SourceDown {
		what := "The source of this topic has failed repeatedly. The stream stays open and goes on when it recovers."
		if health == &t.broker {
			what = "The event broker cannot be reached. The stream stays open and goes on when it is back."
		}
		t.log.Announce(eventFault, messageJSON(what), true)
	}
}

// AddSource feeds a topic, which must exist, from a source until the hub is
// closed. A source that returns is run again after a wait. The wait grows to
// 15 s, and is short again when the source has run for a while. The third
// failure in a row is told to the clients. A source that returns nil ends the
// topic.
func (h *Hub) AddSource(name string, s Source) error {
	t, err := h.topic(name)
	if err != nil {
		return err
	}
	h.changed(t, &t.source, sourceStarting, nil)
	h.work.Go(func() { h.feed(t, s) })
	return nil
}

func (h *Hub) feed(t *topic, s Source) {
	p := &publisher{hub: h, topic: t}
	short := 0 // runs in a row
	for runs := 0; ; runs++ {
		t.mu.Lock()
		t.source.Restarts = runs
		t.mu.Unlock()
		began := time.Now()
		err := h.runSource(t, s, p)
		if short++; time.Since(began) >= steadyRun {
			short = 0
		}
		switch {
		case h.ctx.Err() != nil:
			return
		case err == nil:
			p.end()
			h.changed(t, &t.source, SourceEnded, nil)
			return
		case errors.Is(err, ErrClosed) && t.log.Ended() != "":
			h.opts.Logger.Warn("the topic has ended: its source is not run any more", "topic", t.name, "reason", t.log.Ended())
			h.changed(t, &t.source, SourceEnded, nil)
			return
		case !errors.Is(err, ErrRestart):
			p.Fail(err)
		}
		t.mu.Lock()
		wait := backoff(max(t.source.Failures, short), maxBackoff)
		t.mu.Unlock()
		if !h.sleep(wait) {
			return
		}
	}
}

// runSource turns a panic of a plug-in into a failure.
func (h *Hub) runSource(t *topic, s Source, p Publisher) (err error) {
	h.running(t, 1)
	defer h.running(t, -1)
	defer func() {
		if r := recover(); r != nil {
			h.opts.Logger.Error("a source panicked", "topic", t.name, "panic", r, "stack", string(debug.Stack()))
			err = &panicError{r}
		}
	}()
	return s.Run(h.ctx, p)
}

// running counts the sources of a topic that run.
func (h *Hub) running(t *topic, change int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running += change
}

// A publisher is the Publisher that a hub gives a source.
type publisher struct {
	hub   *Hub
	topic *topic

	mu   sync.Mutex
	last ID // of what the source has published
}

func (p *publisher) Publish(ctx context.Context, events ...Event) error {
	if p.hub.ctx.Err() != nil { // told to loops that do not look at their context
		return fmt.Errorf("publish to %s: %w: the hub is closed", p.topic.name, ErrClosed)
	}
	ids, err := p.hub.Publish(ctx, p.topic.name, events...)
	switch {
	case err == nil:
		p.published(ids...)
		p.hub.changed(p.topic, &p.topic.source, SourceUp, nil)
	case errors.Is(err, ErrInvalid):
		p.Fail(err)
	}
	return err
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

// end ends the topic in this process, behind what the source has published:
// with a broker, that comes round a little later. The broker is not told. The
// end of one process's source, such as of its standard input, is no end for
// other nodes, nor for the next process.
func (p *publisher) end() {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	for c := p.topic.log.All().Live(); last.After(p.topic.log.Last()); {
		_, err := c.Next(p.hub.ctx)
		var gap *eventlog.Gap
		if err != nil && (!errors.As(err, &gap) || gap.Reason == eventlog.GapReset) {
			break // the broker has lost events, perhaps these
		}
	}
	p.topic.log.Close("the source has ended")
}

func (p *publisher) Fail(err error) {
	if p.hub.ctx.Err() != nil {
		return
	}
	p.hub.changed(p.topic, &p.topic.source, SourceFailing, err)
}
