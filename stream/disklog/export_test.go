package disklog

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"weir/stream"
)

// Stall keeps the file from being written, as a disk that hangs does, until
// resume is called.
func (b *Broker) Stall() (resume func() error, err error) {
	tx, err := b.db.Begin(true)
	if err != nil {
		return nil, err
	}
	return tx.Rollback, nil
}

// Commits returns how many transactions the file has had.
func (b *Broker) Commits() (n int) {
	_ = b.db.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	})
	return n
}

// Waiting returns how many publishers the writer has not answered yet.
func (b *Broker) Waiting() int { return int(b.waiting.Load()) }

// Sweep removes what has expired at a time. Nothing may be published meanwhile.
func (b *Broker) Sweep(now time.Time) { b.sweep(now) }

// DecodeRecord reads an event that was stored without its checksum.
func DecodeRecord(value []byte) (*stream.Event, error) {
	key := appendID(nil, stream.ID{Milli: 1})
	return decode(key, sealed(value, key))
}

// RewriteState reads the state of a topic that was stored without its checksum,
// writes it and reads it again.
func RewriteState(value []byte) (first, second string, err error) {
	topic := []byte("t")
	s, err := decodeState(topic, sealed(value, topic))
	if err != nil {
		return "", "", err
	}
	again, err := decodeState(topic, s.encode(topic))
	return fmt.Sprint(s), fmt.Sprint(again), err
}
