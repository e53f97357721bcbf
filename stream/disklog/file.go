package disklog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/internal/record"
)

// The file has a bucket of topics, and in it a bucket for each topic: its
// state under the key "state"; the reason of its end and its checkpoint, where
// it has them, under "end" and "checkpoint"; in the bucket "events" each event
// under its ID; and in the bucket "index", where it has one, the IDs of events by
// their [identity]. Every value ends in a checksum of itself and of the name that
// it stands for, since bbolt has one only for its own root.
var (
	topicsBucket  = []byte("topics")
	eventsBucket  = []byte("events")
	indexBucket   = []byte("index")
	stateKey      = []byte("state")
	endKey        = []byte("end")
	checkpointKey = []byte("checkpoint")
	probeKey      = []byte("probe")
)

// Versions of states and events. The first is read, too: its states do not tell
// when the topic was born, and its events are not in the index.
const (
	firstVersion  = 1
	formatVersion = 2
)

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

// following returns the ID for an event that enters at now after id: IDs rise
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
	born  stream.ID // the first floor; zero in files of the first version
}

// why is what a reader is told that asks for what is below the floor.
func (s *state) why() string {
	if s.floor == s.born {
		return eventlog.GapRestart
	}
	return eventlog.GapExpired
}

const firstStateSize = 1 + 2*idSize + 8 + 8

func (s *state) encode(topic []byte) []byte {
	b := append(make([]byte, 0, firstStateSize+idSize+sumSize), formatVersion)
	b = appendID(b, s.last)
	b = appendID(b, s.floor)
	b = binary.BigEndian.AppendUint64(b, uint64(s.count))
	b = binary.BigEndian.AppendUint64(b, uint64(s.bytes))
	b = appendID(b, s.born)
	return seal(append(b, make([]byte, sumSize)...), topic)
}

func decodeState(topic, value []byte) (state, error) {
	b, err := unseal(value, topic)
	if err != nil {
		return state{}, err
	}
	switch {
	case len(b) == firstStateSize && b[0] == firstVersion, len(b) == firstStateSize+idSize && b[0] == formatVersion:
	default:
		return state{}, damage("the state of a topic is of no known version")
	}
	s := state{last: readID(b[1:]), floor: readID(b[1+idSize:])}
	s.count = int64(binary.BigEndian.Uint64(b[1+2*idSize:]))
	s.bytes = int64(binary.BigEndian.Uint64(b[1+2*idSize+8:]))
	if b[0] == formatVersion {
		s.born = readID(b[firstStateSize:])
	}
	return s, nil
}

// An identity stands for the Source, the ForeignID and the Subject of an event: the first
// bytes of a hash, so many that two never meet.
type identity [16]byte

func identify(e *stream.Event) identity {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(e.Source))))
	h.Write([]byte(e.Source))
	h.Write([]byte(e.ForeignID))
	if e.Subject != "" { // without one it is as it was before subjects counted
		h.Write([]byte("\x00" + e.Subject)) // a ForeignID has no NUL
	}
	return identity(h.Sum(nil)[:len(identity{})])
}

// What an event has beside its attributes and its data.
const (
	anonymous = 0 // no identity
	known     = 1 // its identity follows
)

// encode returns an event as it is stored: the version, the identity if it has
// one, the attributes after their length, the data, and room for the checksum,
// which needs the ID.
func encode(e *stream.Event) ([]byte, error) {
	attrs, err := record.Attributes(e)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 2+len(identity{})+binary.MaxVarintLen64+len(attrs)+len(e.Data)+sumSize)
	if b = append(b, formatVersion, anonymous); e.ForeignID != "" {
		b[1] = known
		id := identify(e)
		b = append(b, id[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(attrs)))
	b = append(b, attrs...)
	b = append(b, e.Data...)
	return append(b, make([]byte, sumSize)...), nil
}

// split takes the head off a stored event, and returns its identity, if it is in
// the index. A value has been unsealed, or was just encoded.
func split(b []byte) (id identity, indexed bool, rest []byte, err error) {
	switch {
	case len(b) > 0 && b[0] == firstVersion:
		return id, false, b[1:], nil
	case len(b) < 2 || b[0] != formatVersion || b[1] > known:
		return id, false, nil, damage("an event is of no known version")
	case b[1] == anonymous:
		return id, false, b[2:], nil
	case len(b) < 2+len(id):
		return id, false, nil, damage("an event is cut off")
	}
	return identity(b[2 : 2+len(id)]), true, b[2+len(id):], nil
}

// decode copies the event out of the file.
func decode(key, value []byte) (*stream.Event, error) {
	b, err := unseal(value, key)
	if err != nil {
		return nil, err
	}
	_, _, b, err = split(b)
	if err != nil {
		return nil, err
	}
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, damage("an event is cut off")
	}
	attrs := b[used:]
	return record.Event(readID(key), attrs[:n], bytes.Clone(attrs[n:]))
}

func entrySize(value []byte) int64 { return idSize + int64(len(value)) }
