package disklog

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"weir/stream"
)

// Limits of what is read from the file at once.
const (
	maxReadEvents = 256
	maxReadBytes  = 1 << 20
)

// Follow implements [stream.Broker].
func (b *Broker) Follow(ctx context.Context, topic string, log *stream.Log, up func()) error {
	fresh, told := log.Stats().Head == 0, false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		changed := b.topic(topic).changed // before reading, so that no commit is missed
		events, s, err := b.read(topic, log.Last())
		if err != nil {
			return unavailable(fmt.Errorf("follow %s: %w", topic, err))
		}
		last := log.Last()
		switch {
		case fresh:
			fresh = false
			log.Reset(s.floor, stream.GapRestart)
			continue
		case last.After(s.last):
			log.Reset(s.floor, stream.GapReset)
			continue
		case last.Compare(s.floor) < 0:
			log.Reset(s.floor, stream.GapSlow)
			continue
		}
		if err := log.Insert(events...); err != nil {
			return err
		}
		if len(events) > 0 {
			continue
		}
		if !told {
			told = true
			up()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-b.stop:
			return unavailable(errClosed)
		}
	}
}

// read returns some of the events behind an ID, and the topic's state at that
// moment.
func (b *Broker) read(topic string, after stream.ID) (events []*stream.Event, s state, err error) {
	err = guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			var t *bbolt.Bucket
			if topics := tx.Bucket(topicsBucket); topics != nil {
				t = topics.Bucket([]byte(topic))
			}
			if t == nil {
				born := b.topic(topic).born
				s = state{last: born, floor: born}
				return nil
			}
			var err error
			if s, err = decodeState([]byte(topic), t.Get(stateKey)); err != nil {
				return err
			}
			stored := t.Bucket(eventsBucket)
			if stored == nil {
				return ErrDamaged
			}
			c := stored.Cursor()
			k, v := c.Seek(appendID(nil, after))
			if k != nil && readID(k) == after {
				k, v = c.Next()
			}
			size := 0
			for ; k != nil && len(events) < maxReadEvents && size < maxReadBytes; k, v = c.Next() {
				e, err := decode(k, v)
				if err != nil {
					return fmt.Errorf("event %s: %w", readID(k), err)
				}
				events = append(events, e)
				size += len(v)
			}
			return nil
		})
	})
	return events, s, err
}
