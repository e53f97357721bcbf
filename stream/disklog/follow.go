package disklog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"weir/stream"
	"weir/stream/eventlog"
)

// Limits of what is read from the file at once.
const (
	maxReadEvents = 256
	maxReadBytes  = 1 << 20
)

// retry is the wait after the file could not be read.
const retry = time.Second

// Follow implements [stream.Broker].
func (b *Broker) Follow(topic string, log *stream.Log, report func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := b.follow(ctx, topic, log, func() { report(nil) })
			if ctx.Err() != nil || errors.Is(err, stream.ErrClosed) {
				return
			}
			report(err)
			select {
			case <-time.After(retry):
			case <-ctx.Done():
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

// follow returns when the file cannot be read, or nothing more is to come.
func (b *Broker) follow(ctx context.Context, topic string, log *stream.Log, up func()) error {
	fresh, told := log.Stats().Head == 0, false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		changed := b.topic(topic).changed // before reading, so that no commit is missed
		events, s, end, err := b.read(topic, log.Last())
		if err != nil {
			return unavailable(fmt.Errorf("follow %s: %w", topic, err))
		}
		last := log.Last()
		switch {
		case fresh:
			fresh = false
			log.Reset(s.floor, eventlog.GapRestart)
			continue
		case last.After(s.last):
			log.Reset(s.floor, eventlog.GapReset)
			continue
		case last.Compare(s.floor) < 0:
			log.Reset(s.floor, eventlog.GapSlow)
			continue
		}
		if err := log.Insert(events...); err != nil {
			return err
		}
		if len(events) > 0 {
			continue
		}
		if end != "" {
			log.Close(end)
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

// read returns some of the events behind an ID, the topic's state at that
// moment, and the reason of its end, if it has ended.
func (b *Broker) read(topic string, after stream.ID) (events []*stream.Event, s state, end string, err error) {
	err = b.view(topic, func(t *bbolt.Bucket) error {
		if t == nil {
			born := b.topic(topic).born
			s = state{last: born, floor: born}
			return nil
		}
		var err error
		if s, err = decodeState([]byte(topic), t.Get(stateKey)); err != nil {
			return err
		}
		reason, _, err := optional(t, endKey)
		if err != nil {
			return err
		}
		end = string(reason)
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
	return events, s, end, err
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

// Checkpoint implements [stream.Checkpointer].
func (b *Broker) Checkpoint(_ context.Context, topic string) (checkpoint []byte, err error) {
	err = b.view(topic, func(t *bbolt.Bucket) error {
		if t == nil {
			return nil
		}
		value, ok, err := optional(t, checkpointKey)
		if ok && err == nil {
			checkpoint = append([]byte{}, value...)
		}
		return err
	})
	if err != nil {
		return nil, unavailable(fmt.Errorf("checkpoint of %s: %w", topic, err))
	}
	return checkpoint, nil
}
