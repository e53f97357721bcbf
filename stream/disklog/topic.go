package disklog

import (
	"time"

	"go.etcd.io/bbolt"

	"weir/stream"
)

// A topic is a topic's bucket in a transaction that writes.
type topic struct {
	name   []byte
	bucket *bbolt.Bucket
	events *bbolt.Bucket
	index  *bbolt.Bucket // nil until an event needs it
	state
}

// openTopic opens a topic, or makes one.
func (b *Broker) openTopic(topics *bbolt.Bucket, name string) (t *topic, err error) {
	t = &topic{name: []byte(name)}
	if t.bucket = topics.Bucket(t.name); t.bucket == nil {
		born, _ := b.birth(name)
		t.state = state{last: born, floor: born, born: born}
		if t.bucket, err = topics.CreateBucket(t.name); err != nil {
			return nil, err
		}
		if t.events, err = t.bucket.CreateBucket(eventsBucket); err != nil {
			return nil, err
		}
	} else {
		if t.state, err = decodeState(t.name, t.bucket.Get(stateKey)); err != nil {
			return nil, err
		}
		if t.events = t.bucket.Bucket(eventsBucket); t.events == nil {
			return nil, damage("the events are missing")
		}
		t.index = t.bucket.Bucket(indexBucket)
	}
	t.events.FillPercent = 0.9 // keys only rise
	return t, nil
}

// put writes what a request carries.
func (t *topic) put(r *request, now time.Time) error {
	if t.bucket.Get(endKey) != nil {
		return t.putAgain(r)
	}
	r.ids = make([]stream.ID, len(r.values))
	for i, value := range r.values {
		id, duplicate, err := t.add(value, now)
		if err != nil {
			return err
		}
		if duplicate && r.duplicate == nil {
			r.duplicate = make([]bool, len(r.values))
		}
		if duplicate {
			r.duplicate[i] = true
		}
		r.ids[i] = id
	}
	if r.publication.Checkpoint != nil {
		if err := t.bucket.Put(checkpointKey, sealed(r.publication.Checkpoint, checkpointKey)); err != nil {
			return err
		}
	}
	if r.publication.End != "" {
		return t.bucket.Put(endKey, sealed([]byte(r.publication.End), endKey))
	}
	return nil
}

// putAgain answers a request to a topic that has ended: with the IDs of its events
// if all are in already, as for a publisher that did not hear the first answer.
func (t *topic) putAgain(r *request) error {
	for _, value := range r.values {
		who, indexed, _, err := split(value)
		if err != nil {
			return err
		}
		id, is, err := stream.ID{}, false, error(nil)
		if indexed && t.index != nil {
			if id, is, err = t.held(who); err != nil {
				return err
			}
		}
		if !is {
			r.ids, r.duplicate = nil, nil
			break
		}
		r.ids, r.duplicate = append(r.ids, id), append(r.duplicate, true)
	}
	if len(r.ids) == 0 {
		r.err = stream.ErrClosed
	}
	return nil
}

// held returns the ID of the event of an identity, if it is in.
func (t *topic) held(who identity) (id stream.ID, is bool, err error) {
	held := t.index.Get(who[:])
	if held == nil {
		return stream.ID{}, false, nil
	}
	first, err := unseal(held, who[:])
	if err != nil || len(first) != idSize {
		return stream.ID{}, false, damage("the index of events")
	}
	return readID(first), true, nil
}

// add puts an event in, unless one of the same identity is held.
func (t *topic) add(value []byte, now time.Time) (id stream.ID, duplicate bool, err error) {
	who, indexed, _, err := split(value)
	if err != nil {
		return stream.ID{}, false, err
	}
	if indexed && t.index == nil {
		if t.index, err = t.bucket.CreateBucketIfNotExists(indexBucket); err != nil {
			return stream.ID{}, false, err
		}
	}
	if indexed {
		if id, is, err := t.held(who); is || err != nil {
			return id, is, err
		}
	}
	t.last = following(t.last, now)
	key := appendID(make([]byte, 0, idSize), t.last)
	if err := t.events.Put(key, seal(value, key)); err != nil {
		return stream.ID{}, false, err
	}
	if indexed {
		if err := t.index.Put(who[:], sealed(key, who[:])); err != nil {
			return stream.ID{}, false, err
		}
	}
	t.count++
	t.bytes += entrySize(value)
	return t.last, false, nil
}

// finish drops the oldest events beyond the limits, and writes the state.
func (t *topic) finish(limits Limits) error {
	var drop [][]byte
	c := t.events.Cursor()
	for k, v := c.First(); k != nil && t.count > 1 && (t.count > int64(limits.History) || t.bytes > limits.Bytes); k, v = c.Next() {
		drop = append(drop, k)
		t.floor = readID(k)
		t.count--
		t.bytes -= entrySize(v)
		who, indexed, _, err := split(v)
		if err != nil {
			return err
		}
		if indexed {
			if err := t.index.Delete(who[:]); err != nil {
				return err
			}
		}
	}
	for _, k := range drop {
		if err := t.events.Delete(k); err != nil {
			return err
		}
	}
	return t.bucket.Put(stateKey, t.encode(t.name))
}
