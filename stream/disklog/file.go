package disklog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/internal/record"
)

// The file has a bucket of topics, and in it a bucket for each topic: its
// state under the key "state", the reason of its end and its checkpoint, where
// it has them, under "end" and "checkpoint", and in the bucket "events" each
// event under its ID. Every value ends in a checksum of itself and of the name that it stands
// for, since bbolt has one only for its own root.
var (
	topicsBucket  = []byte("topics")
	eventsBucket  = []byte("events")
	stateKey      = []byte("state")
	endKey        = []byte("end")
	checkpointKey = []byte("checkpoint")
	probeKey      = []byte("probe")
)

const formatVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

func checksum(body, name []byte) uint32 {
	return crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, name)
}

// seal puts the checksum into the last bytes of a value.
func seal(value, name []byte) []byte {
	body := value[:len(value)-sumSize]
	binary.BigEndian.PutUint32(value[len(body):], checksum(body, name))
	return value
}

// unseal returns a value without its checksum, which must be right.
func unseal(value, name []byte) ([]byte, error) {
	if len(value) < sumSize {
		return nil, damage("a record is cut off")
	}
	body := value[:len(value)-sumSize]
	if checksum(body, name) != binary.BigEndian.Uint32(value[len(body):]) {
		return nil, damage("the checksum of a record is wrong")
	}
	return body, nil
}

const idSize = 16

func appendID(b []byte, id stream.ID) []byte {
	b = binary.BigEndian.AppendUint64(b, id.Milli)
	return binary.BigEndian.AppendUint64(b, id.Seq)
}

func readID(b []byte) stream.ID {
	return stream.ID{Milli: binary.BigEndian.Uint64(b), Seq: binary.BigEndian.Uint64(b[8:])}
}

// sealed returns a copy of a value with its checksum.
func sealed(value, name []byte) []byte {
	return seal(append(bytes.Clone(value), make([]byte, sumSize)...), name)
}

// optional returns a value of a topic's bucket; ok tells whether it is there.
func optional(t *bbolt.Bucket, key []byte) (value []byte, ok bool, err error) {
	stored := t.Get(key)
	if stored == nil {
		return nil, false, nil
	}
	value, err = unseal(stored, key)
	return bytes.Clone(value), true, err
}

// following returns the ID for an event that enters at now behind id: IDs rise
// also when the clock has gone back.
func following(id stream.ID, now time.Time) stream.ID {
	if at := eventlog.IDAt(now); at.Milli > id.Milli {
		return at
	}
	return stream.ID{Milli: id.Milli, Seq: id.Seq + 1}
}

// A state is what the file says of a topic as a whole.
type state struct {
	last  stream.ID // of the newest event ever
	floor stream.ID // nothing up to and including it is held
	count int64
	bytes int64
}

const stateSize = 1 + 2*idSize + 8 + 8

func (s *state) encode(topic []byte) []byte {
	b := append(make([]byte, 0, stateSize+sumSize), formatVersion)
	b = appendID(b, s.last)
	b = appendID(b, s.floor)
	b = binary.BigEndian.AppendUint64(b, uint64(s.count))
	b = binary.BigEndian.AppendUint64(b, uint64(s.bytes))
	return seal(b[:stateSize+sumSize], topic)
}

func decodeState(topic, value []byte) (state, error) {
	b, err := unseal(value, topic)
	switch {
	case err != nil:
		return state{}, err
	case len(b) != stateSize || b[0] != formatVersion:
		return state{}, damage("the state of a topic is not of version %d", formatVersion)
	}
	s := state{last: readID(b[1:]), floor: readID(b[1+idSize:])}
	s.count = int64(binary.BigEndian.Uint64(b[1+2*idSize:]))
	s.bytes = int64(binary.BigEndian.Uint64(b[1+2*idSize+8:]))
	return s, nil
}

// encode returns an event as it is stored: the version, the attributes behind
// their length, the data, and room for the checksum, which needs the ID.
func encode(e *stream.Event) ([]byte, error) {
	attrs, err := record.Attributes(e)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(attrs)+len(e.Data)+sumSize)
	b = append(b, formatVersion)
	b = binary.AppendUvarint(b, uint64(len(attrs)))
	b = append(b, attrs...)
	b = append(b, e.Data...)
	return append(b, make([]byte, sumSize)...), nil
}

// decode copies the event out of the file.
func decode(key, value []byte) (*stream.Event, error) {
	b, err := unseal(value, key)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != formatVersion {
		return nil, damage("an event is not of version %d", formatVersion)
	}
	n, used := binary.Uvarint(b[1:])
	if used <= 0 || n > uint64(len(b)-1-used) {
		return nil, damage("an event is cut off")
	}
	attrs := b[1+used:]
	return record.Event(readID(key), attrs[:n], bytes.Clone(attrs[n:]))
}

func entrySize(value []byte) int64 { return idSize + int64(len(value)) }

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
	events := t.Bucket(eventsBucket)
	if events == nil {
		return damage("the events are missing")
	}
	found := state{last: s.floor, floor: s.floor}
	c := events.Cursor()
	for k, v := c.First(); k != nil && found.count <= s.count; k, v = c.Next() {
		if len(k) != idSize || !readID(k).After(found.last) {
			return damage("events are out of order")
		}
		found.last = readID(k)
		if _, err := unseal(v, k); err != nil {
			return fmt.Errorf("event %s: %w", found.last, err)
		}
		found.count++
		found.bytes += entrySize(v)
	}
	if found != s {
		return damage("there are %d events up to %s, and there should be %d up to %s", found.count, found.last, s.count, s.last)
	}
	return nil
}
