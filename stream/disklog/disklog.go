// Package disklog keeps the events of one process on disk, so that its topics
// go on after a restart, or a crash, where they were: it is the
// [stream.Broker] for a single node.
//
// The events are in a bbolt file. bbolt was chosen because it is one file
// without background work; because a commit either is in the file or is not,
// at whatever moment the process is killed, without a recovery step at start;
// because its readers do not wait for the writer; and because it is plain Go,
// maintained as the store of etcd. Its weakness, that there is one writer and
// that each commit costs a write to the disk, is met by committing together
// whatever is being published at that moment.
//
// # What is safe
//
// When Publish returns nil, the events are in the file: the process may be
// killed at any moment. With [Options.Sync] they are on the disk too, and
// survive a loss of power. Without it a loss of power may cost the latest
// events and, since the file system may write in any order, can damage the
// file; [Open] finds that out. It reads the whole file: about 1.4 s for 1 GB in
// the system's cache (2 million events), otherwise as long as the disk takes.
//
// The file does not shrink: it stays at the size it once needed, and reuses
// the space.
package disklog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"weir/stream"
	"weir/stream/eventlog"
)

// File is the name of the file in the directory that Open is given.
const File = "weir.db"

// ErrDamaged marks, by errors.Is, that the file is not what was written.
var ErrDamaged = errors.New("the file is damaged")

// ErrLocked marks, by errors.Is, that another process has the file open.
var ErrLocked = errors.New("another process uses it")

var errClosed = errors.New("the log on disk is closed")

// Options configure a [Broker]. The zero value works.
type Options struct {
	// History is how many events a topic keeps. Default:
	// eventlog.DefaultHistory.
	History int
	// Bytes bounds the size of a topic's events; the newest is kept whatever
	// its size. Default: eventlog.DefaultBytes.
	Bytes int64
	// Sync makes Publish return only when the events are on the disk, and not
	// merely handed to the operating system.
	Sync bool
	// Logger takes what no caller is told. Default: slog.Default().
	Logger *slog.Logger
}

// A Broker keeps events in a file. Its methods may be called by any goroutine.
type Broker struct {
	opts  Options
	path  string
	db    *bbolt.DB
	queue chan *request
	stop  chan struct{}
	close func() error
	work  sync.WaitGroup
	// waiting is how many publishers wait for the writer.
	waiting atomic.Int32

	mu     sync.Mutex
	topics map[string]*topic
	fault  error // of the latest write
}

// A topic is what is known of a topic beside the file.
type topic struct {
	born    stream.ID     // the floor, as long as the file does not have the topic
	changed chan struct{} // closed after a commit
}

// A request is a publish on its way into the file.
type request struct {
	topic      string
	values     [][]byte // encoded events
	end        string   // as in the publication
	checkpoint []byte   // likewise
	size       int64
	ids        []stream.ID
	err        error
	done       chan struct{}
}

// probes reports whether the request only tries the disk.
func (r *request) probes() bool { return r.topic == "" }

// Open opens the log in a directory, and makes both where they do not exist.
// It reads all of the file to see that it is whole: see [ErrDamaged]. Nothing is ever deleted: a
// damaged file is left as it is, and the error, which wraps [ErrDamaged], says
// what to do.
func Open(dir string, opts Options) (*Broker, error) {
	if opts.History <= 0 {
		opts.History = eventlog.DefaultHistory
	}
	if opts.Bytes <= 0 {
		opts.Bytes = eventlog.DefaultBytes
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	b := &Broker{
		opts:   opts,
		path:   filepath.Join(dir, File),
		queue:  make(chan *request),
		stop:   make(chan struct{}),
		topics: make(map[string]*topic),
	}
	if err := b.open(dir); err != nil {
		return nil, fmt.Errorf("log on disk in %s: %w", dir, err)
	}
	b.close = sync.OnceValue(func() error {
		close(b.stop)
		b.work.Wait()
		return b.db.Close()
	})
	b.work.Go(b.write)
	return b, nil
}

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
	defer os.Remove(f.Name())
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

// Close ends followers and publishers, and closes the file.
func (b *Broker) Close() error { return b.close() }

// topic returns what is known of a topic beside the file.
func (b *Broker) topic(name string) topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.entry(name)
}

func (b *Broker) entry(name string) *topic {
	t := b.topics[name]
	if t == nil {
		t = &topic{born: eventlog.IDAt(time.Now()), changed: make(chan struct{})}
		b.topics[name] = t
	}
	return t
}

// Publish implements [stream.Broker]. When it returns an error because ctx was
// done, the events may be in or not.
func (b *Broker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	if len(p.Events) == 0 && p.End == "" && p.Checkpoint == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	r := &request{topic: topic, values: make([][]byte, len(p.Events)), end: p.End, checkpoint: p.Checkpoint, done: make(chan struct{})}
	for i, e := range p.Events {
		value, err := encode(e)
		if err != nil {
			return err
		}
		r.values[i] = value
		r.size += entrySize(value)
	}
	switch err := b.submit(ctx, r); {
	case errors.Is(err, stream.ErrClosed):
		return err
	case err != nil:
		return unavailable(err)
	}
	for i, e := range p.Events {
		e.ID = r.ids[i]
	}
	return nil
}

func (b *Broker) submit(ctx context.Context, r *request) error {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	select {
	case b.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.stop:
		return errClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the disk, and it is not known whether the events are in: %w", ctx.Err())
	}
}

func unavailable(err error) error {
	return fmt.Errorf("log on disk: %w: %w", stream.ErrUnavailable, err)
}

// Ping reports whether events can be written. It writes only if the latest
// write failed.
func (b *Broker) Ping(ctx context.Context) error {
	b.mu.Lock()
	fault := b.fault
	b.mu.Unlock()
	select {
	case <-b.stop:
		return unavailable(errClosed)
	default:
	}
	if fault == nil {
		return nil
	}
	if err := b.submit(ctx, &request{done: make(chan struct{})}); err != nil {
		return unavailable(err)
	}
	return nil
}
