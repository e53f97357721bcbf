package disklog_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"weir/stream"
	"weir/stream/disklog"
)

// What is in the file beside the events, and how many of these there are, is
// looked at too when it is opened: all pages may be whole, and what is in them
// may not belong together.
func TestDoesNotBelongTogether(t *testing.T) {
	content, want := filled(t)
	for name, spoil := range map[string]func(t *bbolt.Bucket) error{
		"nothing": func(*bbolt.Bucket) error { return nil },
		"an event is missing": func(t *bbolt.Bucket) error {
			events := t.Bucket([]byte("events"))
			c := events.Cursor()
			c.First()
			k, _ := c.Next() // one that is not in the index
			return events.Delete(k)
		},
		"the checkpoint": func(t *bbolt.Bucket) error { return t.Put([]byte("checkpoint"), []byte("elsewhere")) },
		"the end":        func(t *bbolt.Bucket) error { return t.Put([]byte("end"), []byte("too short")) },
		"the state":      func(t *bbolt.Bucket) error { return t.Delete([]byte("state")) },
		"an index of nothing": func(t *bbolt.Bucket) error {
			return t.Bucket([]byte("index")).Put([]byte("0123456789abcdef"), []byte("0123456789abcdef0123"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, disklog.File)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error {
				return spoil(tx.Bucket([]byte("topics")).Bucket([]byte("one")))
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			b, err := disklog.Open(dir, disklog.Options{History: damagedHistory, Logger: slog.New(slog.DiscardHandler)})
			if name == "nothing" {
				if err != nil {
					t.Fatal(err)
				}
				log, _ := follow(t, b, "one")
				if got, _ := held(t, log.All().From(stream.ID{})); len(got) != len(want["one"]) {
					t.Errorf("%d of %d events", len(got), len(want["one"]))
				}
				shut(t, b)
				return
			}
			if !errors.Is(err, disklog.ErrDamaged) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}
