package disklog

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"weir/stream"
)

// Limits of what is read from the file at once: after it, it is another topic's
// turn.
const (
	maxReadEvents = 256
	maxReadBytes  = 1 << 20
)

// A part is some of what a topic holds, and what the topic was at that moment.
type part struct {
	state  state
	events []*stream.Event
	more   bool   // there are more events
	end    string // the reason, if the topic has ended
}

// read returns events after an ID.
func (b *Broker) read(topic string, after stream.ID) (p part, err error) {
	err = b.view(topic, func(t *bbolt.Bucket) (err error) {
		if t == nil {
			born, first := b.birth(topic)
			if first {
				b.bear(topic)
			}
			p.state = state{last: born, floor: born, born: born}
			return nil
		}
		if p.state, err = decodeState([]byte(topic), t.Get(stateKey)); err != nil {
			return err
		}
		reason, _, err := optional(t, endKey)
		if err != nil {
			return err
		}
		p.end = string(reason)
		stored := t.Bucket(eventsBucket)
		if stored == nil {
			return damage("the events are missing")
		}
		c := stored.Cursor()
		k, v := c.Seek(appendID(nil, after))
		if k != nil && readID(k) == after {
			k, v = c.Next()
		}
		for size := 0; k != nil; k, v = c.Next() {
			if p.more = len(p.events) >= maxReadEvents || size >= maxReadBytes; p.more {
				break
			}
			e, err := decode(k, v)
			if err != nil {
				return fmt.Errorf("event %s: %w", readID(k), err)
			}
			p.events = append(p.events, e)
			size += len(v)
		}
		return nil
	})
	if err != nil {
		return p, unavailable(fmt.Errorf("follow %s: %w", topic, err))
	}
	return p, nil
}

// view reads from a topic's bucket, which is nil where the file has none.
func (b *Broker) view(topic string, read func(t *bbolt.Bucket) error) error {
	return guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			var t *bbolt.Bucket
			if topics := tx.Bucket(topicsBucket); topics != nil {
				t = topics.Bucket([]byte(topic))
			}
			return read(t)
		})
	})
}

// Checkpoint implements [stream.Checkpointer]. It waits for what is being
// written: who was told that it is not known whether events are in asks this.
func (b *Broker) Checkpoint(ctx context.Context, topic string) (checkpoint []byte, err error) {
	if err := b.submit(ctx, &request{trial: turn, done: make(chan struct{})}); err != nil {
		return nil, err
	}
	err = b.view(topic, func(t *bbolt.Bucket) (err error) {
		if t != nil {
			checkpoint, _, err = optional(t, checkpointKey)
		}
		return err
	})
	if err != nil {
		return nil, unavailable(fmt.Errorf("checkpoint of %s: %w", topic, err))
	}
	return checkpoint, nil
}
