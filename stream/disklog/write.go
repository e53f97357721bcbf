package disklog

import (
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Limits of one commit, so that the first of its publishers does not wait long.
const (
	maxCommitRequests = 1024
	maxCommitBytes    = 8 << 20
)

// write commits what is published, until the broker is closed.
func (b *Broker) write() {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		var batch []*request
		select {
		case <-sweep.C:
			b.sweep(time.Now())
			continue
		case r := <-b.queue:
			batch = b.gather(r)
		case <-b.born:
		case <-b.stop:
			b.mu.Lock()
			left := len(b.unborn)
			b.mu.Unlock()
			for range (left + maxCommitRequests - 1) / maxCommitRequests {
				b.commit(nil)
			}
			return
		}
		b.commit(batch)
	}
}

// gather returns a request and what waits beside it at the moment.
func (b *Broker) gather(first *request) []*request {
	batch, size := []*request{first}, first.size
	for len(batch) < maxCommitRequests && size < maxCommitBytes {
		select {
		case r := <-b.queue:
			batch = append(batch, r)
			size += r.size
		default:
			return batch
		}
	}
	return batch
}

// commit writes requests, and the floors of topics that the file does not have,
// in one transaction.
func (b *Broker) commit(batch []*request) {
	b.mu.Lock()
	n := min(len(b.unborn), maxCommitRequests)
	births := b.unborn[:n:n]
	if b.unborn = b.unborn[n:]; len(b.unborn) > 0 {
		b.bearLocked()
	}
	b.mu.Unlock()
	if len(batch)+len(births) == 0 {
		return
	}
	err := guard(func() error {
		return b.db.Update(func(tx *bbolt.Tx) error { return b.put(tx, batch, births, time.Now()) })
	})
	b.written(err)
	changed := make(map[string]bool)
	for _, r := range batch {
		if err != nil {
			r.err = err
		}
		close(r.done)
		changed[r.topic] = true
	}
	// Also after a failure: one to make the disk write may leave the events in.
	b.followers.wake(maps.Keys(changed))
	if err != nil && len(births) > 0 {
		time.AfterFunc(retryEvery, func() { b.bear(births...) })
	}
}

// written keeps the outcome of a commit, and logs it where it changes.
func (b *Broker) written(err error) {
	b.mu.Lock()
	before := b.fault
	if b.fault = err; err == nil {
		b.wrote = time.Now()
	}
	b.mu.Unlock()
	switch {
	case err != nil && before == nil:
		b.opts.Logger.Error("events cannot be written to disk", "file", b.path, "error", err)
	case err == nil && before != nil:
		b.opts.Logger.Info("events can be written to disk again", "file", b.path)
	}
}

// put writes a commit, and drops the events that others push out.
func (b *Broker) put(tx *bbolt.Tx, batch []*request, births []string, now time.Time) error {
	topics, err := tx.CreateBucketIfNotExists(topicsBucket)
	if err != nil {
		return err
	}
	touched := make(map[string]*topic)
	touch := func(name string) (*topic, error) {
		t := touched[name]
		if t == nil {
			if t, err = b.openTopic(topics, name); err != nil {
				return nil, err
			}
			touched[name] = t
		}
		return t, nil
	}
	for _, name := range births {
		if _, err := touch(name); err != nil {
			return err
		}
	}
	for _, r := range batch {
		if r.trial != noTrial {
			if err := try(tx, r.trial, now); err != nil {
				return err
			}
			continue
		}
		if r.forget != nil {
			// Of what this commit touches, the state is not written yet: it stays.
			names := slices.DeleteFunc(r.forget, func(name string) bool { return touched[name] != nil })
			if err := b.remove(topics, names, now); err != nil {
				return err
			}
			continue
		}
		t, err := touch(r.topic)
		if err != nil {
			return err
		}
		if err := t.put(r, now); err != nil {
			return err
		}
	}
	for name, t := range touched {
		if err := t.finish(b.limits(name)); err != nil {
			return err
		}
	}
	return nil
}

// try writes something, to find out whether the disk takes it.
func try(tx *bbolt.Tx, size trial, now time.Time) error {
	if size == turn {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(probeKey)
	if err != nil {
		return err
	}
	err = b.Put(stateKey, now.AppendFormat(nil, time.RFC3339))
	if size == large {
		err = errors.Join(err, b.Put(probeKey, make([]byte, 64<<10)))
	}
	return err
}
