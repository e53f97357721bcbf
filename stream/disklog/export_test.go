package disklog

import (
	"time"

	"go.etcd.io/bbolt"
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
