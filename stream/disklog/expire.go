package disklog

import (
	"context"
	"slices"
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
		var expired []string
		err := guard(func() error {
			return b.db.View(func(tx *bbolt.Tx) (err error) {
				expired, err = b.expired(tx, now)
				return err
			})
		})
		if err == nil && len(expired) > 0 {
			err = guard(func() error {
				return b.db.Update(func(tx *bbolt.Tx) error { return b.remove(tx.Bucket(topicsBucket), expired, now) })
			})
			b.written(err)
		}
		if err != nil {
			b.opts.Logger.Error("topics that have expired cannot be removed", "file", b.path, "error", err)
			return
		}
		more = len(expired) == maxSweep
	}
}

// expired returns topics whose time is over.
func (b *Broker) expired(tx *bbolt.Tx, now time.Time) (names []string, err error) {
	topics := tx.Bucket(topicsBucket)
	if topics == nil {
		return nil, nil
	}
	c := topics.Cursor()
	for name, _ := c.First(); name != nil && len(names) < maxSweep; name, _ = c.Next() {
		over, err := b.over(topics, string(name), now)
		if err != nil {
			return nil, err
		}
		if over {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// over reports whether there is a topic that nothing was published to for its time and
// that nobody follows.
func (b *Broker) over(topics *bbolt.Bucket, name string, now time.Time) (bool, error) {
	life := b.limits(name).Expire
	t := topics.Bucket([]byte(name))
	if t == nil || life <= 0 || b.followers.follows(name) {
		return false, nil
	}
	s, err := decodeState([]byte(name), t.Get(stateKey))
	return err == nil && now.Sub(time.UnixMilli(int64(s.last.Milli))) >= life, err
}

// remove removes those of some topics whose time is over. The writer calls it.
func (b *Broker) remove(topics *bbolt.Bucket, names []string, now time.Time) error {
	for _, name := range names {
		over, err := b.over(topics, name, now)
		if err == nil && over {
			err = topics.DeleteBucket([]byte(name))
		}
		if err != nil {
			return err
		}
		if over {
			b.mu.Lock()
			delete(b.births, name) // who comes again is born again
			b.mu.Unlock()
		}
	}
	return nil
}

// Forget implements [stream.Forgetter]: it removes those of the topics whose time is
// over, by Limits.Expire, at once.
func (b *Broker) Forget(ctx context.Context, topics ...string) error {
	if len(topics) == 0 {
		return nil
	}
	return b.submit(ctx, &request{forget: slices.Clone(topics), done: make(chan struct{})})
}

// follows reports whether somebody follows a topic.
func (all *followers) follows(topic string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.topics[topic] != nil
}
