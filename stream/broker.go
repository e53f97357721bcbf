package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A Broker carries events between processes (or across a restart): it numbers
// and keeps them, and every process follows it into its own logs. A [Hub]
// without one keeps its events in the logs alone. Methods may be called by any
// goroutine.
//
// streamtest.TestBroker checks an implementation.
type Broker interface {
	// Publish stores the events of one topic, all or none, in order, and sets
	// their IDs. When it returns nil they are as safe as the broker makes them.
	// It returns an error that wraps ErrUnavailable when the broker is away.
	Publish(ctx context.Context, topic string, events []*Event) error
	// Follow puts into the log what is published to the topic, by any process,
	// first what the broker holds already behind log.Last(). It returns when
	// ctx is done, with its error, or when the broker is away, with an error
	// that wraps ErrUnavailable; the caller then calls it again. It calls up
	// once, when it is in touch with the broker and what the broker held at
	// the beginning is in: from then on the log may be served. Where the broker
	// has lost events that the log has not had, or IDs went back, it calls
	// log.Reset first.
	Follow(ctx context.Context, topic string, log *Log, up func()) error
}

// ErrUnavailable marks, by errors.Is, that a broker cannot be reached or does
// not take events at present.
var ErrUnavailable = errors.New("the broker is not available")

// A MemoryBroker is a Broker within one process: hubs that share one see the
// same events. It is the pattern that other brokers are tested against. The
// zero value is ready.
type MemoryBroker struct {
	// Options are for the logs in which the broker keeps events. The encoding
	// is not used.
	Options LogOptions

	mu   sync.Mutex
	logs map[string]*Log
}

func (b *MemoryBroker) log(topic string) *Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logs == nil {
		b.logs = make(map[string]*Log)
	}
	l := b.logs[topic]
	if l == nil {
		opts := b.Options
		opts.Encode = func(dst []byte, e *Event) ([]byte, error) { return dst, nil }
		l = NewLog(opts)
		b.logs[topic] = l
	}
	return l
}

// Publish implements [Broker].
func (b *MemoryBroker) Publish(ctx context.Context, topic string, events []*Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return b.log(topic).Append(events...)
}

// Follow implements [Broker].
func (b *MemoryBroker) Follow(ctx context.Context, topic string, log *Log, up func()) error {
	from := b.log(topic)
	c := from.From(log.Last())
	if log.Stats().Head == 0 {
		c = from.From(ID{})
		log.Reset(from.Stats().Floor, GapRestart)
	}
	backlog := from.Last()
	for told := false; ; {
		if !told && !backlog.After(log.Last()) {
			told = true
			up()
		}
		batch, err := c.Next(ctx)
		var gap *Gap
		switch {
		case errors.As(err, &gap):
			log.Reset(gap.To, gap.Reason)
			continue
		case err != nil:
			return err
		}
		for _, e := range batch.Entries {
			event := *e.Event
			event.Tag = nil // as if it came from elsewhere
			if err := log.Insert(&event); err != nil {
				return err
			}
		}
	}
}
