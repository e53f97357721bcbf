package disklog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

func (b *Broker) open(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := create(b.path, b.opts.Sync); err != nil {
		return err
	}
	bolt := b.boltOptions()
	bolt.OpenFile = openWhole
	err = guard(func() (err error) {
		b.db, err = bbolt.Open(b.path, 0o600, bolt)
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s: %w", File, ErrLocked)
	case err == nil:
		if err = b.verify(); err != nil {
			err = errors.Join(err, b.db.Close())
		}
	}
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w. Nothing has been changed. Put a copy of %s in its place, or move it away to begin with an empty log", err, b.path)
	}
	return err
}

// openWhole opens and locks the file for bbolt, unless its pages are damaged:
// what bbolt does with those ranges from a panic to writing over events.
func openWhole(name string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	if err = lock(f, lockPatience); err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			err = checkPages(f, info.Size())
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close()) // gives up the lock, too
	}
	return f, nil
}

// lockPatience is how long another process may hold the file: one that ends
// while this one starts.
const lockPatience = 50 * time.Millisecond

func (b *Broker) boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:      lockPatience,
		NoSync:       !b.opts.Sync,
		NoGrowSync:   !b.opts.Sync,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
	}
}

// create makes an empty file where there is none, all at once: a file that was
// begun when the disk was full must not look like a damaged one later.
func create(path string, sync bool) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), File+"-*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it may be gone already
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	// A link, unlike a renaming, never replaces the file of another process
	// that starts at the same moment.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	if !sync {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
