package streamtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"weir/stream"
	"weir/stream/eventlog"
)

// A MemoryBroker is a broker within one process: hubs that share one see the
// same events. It is the pattern that other brokers are tested against. The
// zero value is ready.
type MemoryBroker struct {
	// Options bound what the broker keeps of each topic. Pace and what is for
	// topics on demand is not used.
	Options stream.TopicOptions

	mu     sync.Mutex
	topics map[string]*memoryTopic
}

// A memoryTopic holds the events of one topic. It has no goroutine: whoever
// publishes puts the events into the logs of the followers.
type memoryTopic struct {
	mu         sync.Mutex
	log        *eventlog.Log
	followers  []*eventlog.Log
	checkpoint []byte
}

func (b *MemoryBroker) topic(name string) *memoryTopic {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		t = &memoryTopic{log: eventlog.New(eventlog.Options{History: b.Options.History, Bytes: b.Options.Bytes})}
		if b.topics == nil {
			b.topics = make(map[string]*memoryTopic)
		}
		b.topics[name] = t
	}
	return t
}

// Publish implements [stream.Broker].
func (b *MemoryBroker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", stream.ErrUnavailable, err)
	}
	t := b.topic(topic)
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if p.Duplicate, err = t.log.Append(p.Events...); err != nil {
		return err
	}
	if p.End != "" {
		t.log.Close(p.End)
	}
	fresh := p.Events
	if p.Duplicate != nil {
		fresh = nil
		for i, e := range p.Events {
			if !p.Duplicate[i] {
				fresh = append(fresh, e)
			}
		}
	}
	if p.Checkpoint != nil {
		t.checkpoint = slices.Clone(p.Checkpoint)
	}
	for _, log := range t.followers {
		if err := insertCopies(log, fresh); err != nil {
			t.catchUp(log)
		}
		if p.End != "" {
			log.Close(p.End)
		}
	}
	return nil
}

// Checkpoint implements [stream.Checkpointer].
func (b *MemoryBroker) Checkpoint(_ context.Context, topic string) ([]byte, error) {
	t := b.topic(topic)
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.checkpoint), nil
}

// Follow implements [stream.Broker].
func (b *MemoryBroker) Follow(topic string, log *eventlog.Log, report func(error)) (stop func()) {
	t := b.topic(topic)
	t.mu.Lock()
	t.catchUp(log)
	t.followers = append(t.followers, log)
	t.mu.Unlock()
	report(nil)
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.followers = slices.DeleteFunc(t.followers, func(l *eventlog.Log) bool { return l == log })
	})
}

// catchUp puts into a follower's log what the topic holds after it. The
// caller holds t.mu.
func (t *memoryTopic) catchUp(log *eventlog.Log) {
	from, last := t.log.Stats(), log.Last()
	switch {
	case log.Stats().Head == 0:
		log.Reset(from.Floor, eventlog.GapRestart)
	case last.After(from.Last):
		log.Reset(from.Floor, eventlog.GapReset)
	case last.Compare(from.Floor) < 0:
		log.Reset(from.Floor, eventlog.GapExpired)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel() // what is there is read, and nothing is waited for
	for c := t.log.All().From(log.Last()); ; {
		entries, err := c.Next(done)
		var ended *eventlog.Ended
		if errors.As(err, &ended) {
			log.Close(ended.Reason)
		}
		if err != nil {
			return
		}
		events := make([]*stream.Event, len(entries))
		for i, e := range entries {
			events[i] = e.Event
		}
		if err := insertCopies(log, events); err != nil {
			return // the log was closed by its owner
		}
	}
}

// insertCopies puts events into a log as if they came from another process.
func insertCopies(log *eventlog.Log, events []*stream.Event) error {
	copies := make([]*stream.Event, len(events))
	for i, e := range events {
		own := *e
		own.Tag = nil
		copies[i] = &own
	}
	return log.Insert(copies...)
}
