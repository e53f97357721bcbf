package disklog

import (
	"bytes"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// sweepEvery is how often topics are looked for that have expired.
	sweepEvery = time.Minute
	// maxSweep is how many are removed in one commit.
	maxSweep = 1024
)

// sweep removes topics that have expired. The writer calls it.
func (b *Broker) sweep(now time.Time) {
	if b.opts.Limits == nil {
		return // no topic expires
	}
	for more := true; more; {
		var expired [][]byte
		err := guard(func() error {
			return b.db.View(func(tx *bbolt.Tx) (err error) {
				expired, err = b.expired(tx, now)
				return err
			})
		})
		if err == nil && len(expired) > 0 {
			err = guard(func() error { return b.db.Update(func(tx *bbolt.Tx) error { return remove(tx, expired) }) })
			b.written(err)
		}
		if err != nil {
			b.opts.Logger.Error("topics that have expired cannot be removed", "file", b.path, "error", err)
			return
		}
		b.mu.Lock()
		for _, name := range expired {
			delete(b.births, string(name)) // who comes again is born again
		}
		b.mu.Unlock()
		more = len(expired) == maxSweep
	}
}

// expired returns topics that nothing was published to for their time and that
// nobody follows.
func (b *Broker) expired(tx *bbolt.Tx, now time.Time) (names [][]byte, err error) {
	topics := tx.Bucket(topicsBucket)
	if topics == nil {
		return nil, nil
	}
	c := topics.Cursor()
	for name, _ := c.First(); name != nil && len(names) < maxSweep; name, _ = c.Next() {
		life := b.limits(string(name)).Expire
		if life <= 0 || b.followers.follows(string(name)) {
			continue
		}
		s, err := decodeState(name, topics.Bucket(name).Get(stateKey))
		if err != nil {
			return nil, err
		}
		if now.Sub(time.UnixMilli(int64(s.last.Milli))) > life {
			names = append(names, bytes.Clone(name))
		}
	}
	return names, nil
}

func remove(tx *bbolt.Tx, names [][]byte) error {
	topics := tx.Bucket(topicsBucket)
	for _, name := range names {
		if err := topics.DeleteBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// follows reports whether somebody follows a topic.
func (all *followers) follows(topic string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.topics[topic] != nil
}
