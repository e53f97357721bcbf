package disklog

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"weir/stream"
)

// Limits of one commit, so that the first of its publishers does not wait long.
const (
	maxCommitRequests = 1024
	maxCommitBytes    = 8 << 20
)

// write commits what is published: everything that waits at the moment goes
// into one transaction.
func (b *Broker) write() {
	for {
		var batch []*request
		select {
		case r := <-b.queue:
			batch = append(batch, r)
		case <-b.stop:
			return
		}
		size := batch[0].size
	gather:
		for len(batch) < maxCommitRequests && size < maxCommitBytes {
			select {
			case r := <-b.queue:
				batch = append(batch, r)
				size += r.size
			default:
				break gather
			}
		}
		err := guard(func() error {
			return b.db.Update(func(tx *bbolt.Tx) error { return b.put(tx, batch, time.Now()) })
		})
		b.written(err)
		changed := make(map[string]bool)
		for _, r := range batch {
			if r.err == nil {
				r.err = err
			}
			close(r.done)
			changed[r.topic] = true
		}
		// Also after a failure: one to make the disk write may leave the
		// events in.
		for name := range changed {
			b.wake(name)
		}
	}
}

// written keeps the outcome of a commit, and logs it where it changes.
func (b *Broker) written(err error) {
	b.mu.Lock()
	before := b.fault
	b.fault = err
	b.mu.Unlock()
	switch {
	case err != nil && before == nil:
		b.opts.Logger.Error("events cannot be written to disk", "file", b.path, "error", err)
	case err == nil && before != nil:
		b.opts.Logger.Info("events can be written to disk again", "file", b.path)
	}
}

func (b *Broker) wake(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.entry(name)
	close(t.changed)
	t.changed = make(chan struct{})
}

// put writes the events of a commit, and drops those that they push out.
func (b *Broker) put(tx *bbolt.Tx, batch []*request, now time.Time) error {
	topics, err := tx.CreateBucketIfNotExists(topicsBucket)
	if err != nil {
		return err
	}
	type open struct {
		*bbolt.Bucket
		events *bbolt.Bucket
		state
	}
	touched := make(map[string]*open)
	for _, r := range batch {
		if r.probes() {
			if err := probe(tx, now); err != nil {
				return err
			}
			continue
		}
		t := touched[r.topic]
		if t == nil {
			t = new(open)
			if t.Bucket = topics.Bucket([]byte(r.topic)); t.Bucket != nil {
				if t.state, err = decodeState([]byte(r.topic), t.Get(stateKey)); err != nil {
					return err
				}
				if t.events = t.Bucket.Bucket(eventsBucket); t.events == nil {
					return ErrDamaged
				}
			} else {
				born := b.topic(r.topic).born
				t.state = state{last: born, floor: born}
				if t.Bucket, err = topics.CreateBucket([]byte(r.topic)); err != nil {
					return err
				}
				if t.events, err = t.CreateBucket(eventsBucket); err != nil {
					return err
				}
			}
			t.events.FillPercent = 0.9 // keys only rise
			touched[r.topic] = t
		}
		if t.Get(endKey) != nil {
			r.err = stream.ErrClosed
			continue
		}
		r.ids = make([]stream.ID, len(r.values))
		for i, v := range r.values {
			t.last = following(t.last, now)
			r.ids[i] = t.last
			key := appendID(make([]byte, 0, idSize), t.last)
			if err := t.events.Put(key, seal(v, key)); err != nil {
				return err
			}
			t.count++
			t.bytes += entrySize(v)
		}
		if r.checkpoint != nil {
			if err := t.Put(checkpointKey, sealed(r.checkpoint, checkpointKey)); err != nil {
				return err
			}
		}
		if r.end != "" {
			if err := t.Put(endKey, sealed([]byte(r.end), endKey)); err != nil {
				return err
			}
		}
	}
	for name, t := range touched {
		if err := b.trim(t.events, &t.state); err != nil {
			return err
		}
		if err := t.Put(stateKey, t.encode([]byte(name))); err != nil {
			return err
		}
	}
	return nil
}

// trim drops the oldest events beyond the limits.
func (b *Broker) trim(events *bbolt.Bucket, s *state) error {
	var drop [][]byte
	c := events.Cursor()
	for k, v := c.First(); k != nil && s.count > 1 && (s.count > int64(b.opts.History) || s.bytes > b.opts.Bytes); k, v = c.Next() {
		drop = append(drop, k)
		s.floor = readID(k)
		s.count--
		s.bytes -= entrySize(v)
	}
	for _, k := range drop {
		if err := events.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// probe writes something, to find out whether the disk takes it.
func probe(tx *bbolt.Tx, now time.Time) error {
	b, err := tx.CreateBucketIfNotExists(probeKey)
	if err != nil {
		return err
	}
	return errors.Join(b.Put(probeKey, make([]byte, 64<<10)), b.Put(stateKey, now.AppendFormat(nil, time.RFC3339)))
}
