package disklog

import (
	"bytes"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// guard turns a panic over a damaged file into an error, also the fault of
// reading behind the end of a file that was cut.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damage("%v", r)
		}
	}()
	return f()
}

// verify reads all topics and events.
func (b *Broker) verify() error {
	return guard(func() error { return b.db.View(verifyTx) })
}

func verifyTx(tx *bbolt.Tx) error {
	err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if b == nil || !bytes.Equal(name, topicsBucket) && !bytes.Equal(name, probeKey) {
			return damage("%.64q is no bucket of Weir's", name)
		}
		return nil
	})
	topics := tx.Bucket(topicsBucket)
	if err != nil || topics == nil {
		return err // nothing was ever published
	}
	return topics.ForEach(func(name, value []byte) error {
		t := topics.Bucket(name)
		if t == nil {
			return damage("topic %.64q has no events", name)
		}
		if err := verifyTopic(name, t); err != nil {
			return fmt.Errorf("topic %.64q: %w", name, err)
		}
		return nil
	})
}

func verifyTopic(name []byte, t *bbolt.Bucket) error {
	s, err := decodeState(name, t.Get(stateKey))
	if err != nil {
		return err
	}
	for _, key := range [][]byte{endKey, checkpointKey} {
		if _, _, err := optional(t, key); err != nil {
			return err
		}
	}
	events, index := t.Bucket(eventsBucket), t.Bucket(indexBucket)
	if events == nil {
		return damage("the events are missing")
	}
	found, indexed := state{last: s.floor, floor: s.floor, born: s.born}, 0
	c := events.Cursor()
	for k, v := c.First(); k != nil && found.count <= s.count; k, v = c.Next() {
		if len(k) != idSize || !readID(k).After(found.last) {
			return damage("events are out of order")
		}
		found.last = readID(k)
		in, err := verifyEvent(k, v, index)
		if err != nil {
			return fmt.Errorf("event %s: %w", found.last, err)
		}
		if in {
			indexed++
		}
		found.count++
		found.bytes += entrySize(v)
	}
	if found != s {
		return damage("there are %d events up to %s, and there should be %d up to %s", found.count, found.last, s.count, s.last)
	}
	n := 0
	if index != nil {
		n = index.Stats().KeyN
	}
	if n != indexed {
		return damage("the index has %d events, and should have %d", n, indexed)
	}
	return nil
}

// verifyEvent reports whether an event is in the index, as it says.
func verifyEvent(key, value []byte, index *bbolt.Bucket) (indexed bool, err error) {
	b, err := unseal(value, key)
	if err != nil {
		return false, err
	}
	id, indexed, _, err := split(b)
	if err != nil || !indexed {
		return false, err
	}
	if index == nil {
		return false, damage("the index is missing")
	}
	held, err := unseal(index.Get(id[:]), id[:])
	if err != nil {
		return false, err
	}
	if !bytes.Equal(held, key) {
		return false, damage("the index leads to another event")
	}
	return true, nil
}
