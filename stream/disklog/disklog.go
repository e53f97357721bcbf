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
// A topic that ended stays ended until it expires ([Limits]), and one that is
// followed and never published to keeps the floor that it was born with: a client
// that comes back after a restart is told no gap. Each event that has a ForeignID
// is in an index beside the events, as long as the topic holds it, so that it is
// not stored twice. A checkpoint is in the same commit as its events.
//
// The file does not shrink: it stays at the size it once needed, and reuses
// the space.
//
// # Goroutines
//
// One writes: it commits together what is being published. One reads: it puts
// what was committed into the logs of those topics that changed. A disk that
// hangs holds up these two, and none who calls: Publish, Ping and Close give up
// waiting, and stop never waits for the disk.
package disklog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

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
	// Limits returns what holds for one topic in place of History and Bytes;
	// zero values stand for those. Default: History and Bytes for all topics,
	// which do not expire. It is called by any goroutine, and must be quick.
	Limits func(topic string) Limits
	// Sync makes Publish return only when the events are on the disk, and not
	// merely handed to the operating system.
	Sync bool
	// Patience is how long Publish and Close wait for a disk that does not
	// answer. Default: 10 s.
	Patience time.Duration
	// Logger takes what no caller is told. Default: slog.Default().
	Logger *slog.Logger
}

// Limits say how much of a topic is kept, and for how long.
type Limits struct {
	History int
	Bytes   int64
	// Expire is how long a topic is kept that nothing is published to and that
	// nobody follows; zero is for ever. It is removed with all that belongs to it: at
	// once when [Broker.Forget] is called for it, as a hub does after the same
	// time, else a little later.
	Expire time.Duration
}

// limits returns what holds for a topic.
func (b *Broker) limits(topic string) (l Limits) {
	if b.opts.Limits != nil {
		l = b.opts.Limits(topic)
	}
	if l.History <= 0 {
		l.History = b.opts.History
	}
	if l.Bytes <= 0 {
		l.Bytes = b.opts.Bytes
	}
	return l
}

// A Broker keeps events in a file. Its methods may be called by any goroutine.
type Broker struct {
	opts  Options
	path  string
	db    *bbolt.DB
	queue chan *request
	born  chan struct{} // holds a signal while there are births to write
	stop  chan struct{}
	close func() error
	work  sync.WaitGroup
	// waiting is how many publishers wait for the writer.
	waiting atomic.Int32

	followers followers

	mu     sync.Mutex
	births map[string]stream.ID // floors of topics that the file did not have
	unborn []string             // those of them that are to be written
	fault  error                // of the latest commit
	wrote  time.Time            // when the latest commit ended that had none
}

// Open opens the log in a directory, and makes both where they do not exist. It
// reads all of the file to see that it is whole. Nothing is ever deleted: a
// damaged file is left as it is, and the error, which wraps [ErrDamaged], says
// what to do.
func Open(dir string, opts Options) (*Broker, error) {
	if opts.History <= 0 {
		opts.History = eventlog.DefaultHistory
	}
	if opts.Bytes <= 0 {
		opts.Bytes = eventlog.DefaultBytes
	}
	if opts.Patience <= 0 {
		opts.Patience = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	b := &Broker{
		opts:      opts,
		path:      filepath.Join(dir, File),
		queue:     make(chan *request),
		born:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		followers: newFollowers(),
		births:    make(map[string]stream.ID),
	}
	if err := b.open(dir); err != nil {
		return nil, fmt.Errorf("log on disk in %s: %w", dir, err)
	}
	b.close = sync.OnceValue(b.end)
	b.work.Go(b.write)
	b.work.Go(b.notify)
	return b, nil
}

// Close ends followers and publishers, and closes the file. It returns an error
// when the disk does not answer; the file is then as after a crash.
func (b *Broker) Close() error { return b.close() }

func (b *Broker) end() error {
	close(b.stop)
	closed := make(chan error, 1)
	go func() {
		b.work.Wait()
		closed <- b.db.Close()
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(b.opts.Patience):
		return fmt.Errorf("log on disk: the disk has not answered for %v", b.opts.Patience)
	}
}

// A request is a publication on its way into the file, topics that go out of it, or a
// trial of the disk.
type request struct {
	forget      []string
	topic       string
	values      [][]byte // encoded events
	publication *stream.Publication
	size        int64
	trial       trial
	// The writer sets these before it closes done.
	ids       []stream.ID
	duplicate []bool
	err       error
	done      chan struct{}
}

// A trial is a write that finds out whether the disk takes one.
type trial int

const (
	noTrial trial = iota
	turn          // writes nothing: it only waits for its turn
	small
	large // more than pages that are free by chance can hold
)

// Publish implements [stream.Broker]. When it returns an error because ctx was
// done, or because the disk did not answer, the events may be in or not.
func (b *Broker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	p.Duplicate = nil
	if len(p.Events) == 0 && p.End == "" && p.Checkpoint == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	r := &request{topic: topic, publication: p, values: make([][]byte, len(p.Events)), done: make(chan struct{})}
	for i, e := range p.Events {
		value, err := encode(e)
		if err != nil {
			return err
		}
		r.values[i] = value
		r.size += entrySize(value)
	}
	if err := b.submit(ctx, r); err != nil {
		return err
	}
	for i, e := range p.Events {
		e.ID = r.ids[i]
	}
	p.Duplicate = r.duplicate
	return nil
}

// submit gives a request to the writer, and waits until it is committed.
func (b *Broker) submit(ctx context.Context, r *request) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Patience)
	defer cancel()
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	select {
	case b.queue <- r:
	case <-ctx.Done():
		return unavailable(fmt.Errorf("the disk is busy: %w", ctx.Err()))
	case <-b.stop:
		return unavailable(errClosed)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return unavailable(fmt.Errorf("waiting for the disk, and it is not known whether the events are in: %w", ctx.Err()))
	}
	if r.err != nil && !errors.Is(r.err, stream.ErrClosed) {
		return unavailable(r.err)
	}
	return r.err
}

func unavailable(err error) error {
	return fmt.Errorf("log on disk: %w: %w", stream.ErrUnavailable, err)
}

// pingEvery is how old what is known of the disk may be for Ping.
const pingEvery = 2 * time.Second

// Ping reports whether events can be written. It writes a little, unless
// something has been written in the last two seconds.
func (b *Broker) Ping(ctx context.Context) error {
	select {
	case <-b.stop:
		return unavailable(errClosed)
	default:
	}
	b.mu.Lock()
	size := small
	if b.fault != nil {
		size = large
	}
	recent := b.fault == nil && time.Since(b.wrote) < pingEvery
	b.mu.Unlock()
	if recent {
		return nil
	}
	return b.submit(ctx, &request{trial: size, done: make(chan struct{})})
}

// birth returns the first floor of a topic that the file does not have: the time
// at which it was first heard of. It stays the same, whoever asks.
func (b *Broker) birth(topic string) (id stream.ID, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, known := b.births[topic]
	if !known {
		id = eventlog.IDAt(time.Now())
		b.births[topic] = id
	}
	return id, !known
}

// bear has the floor of a topic written that nothing was published to.
func (b *Broker) bear(topics ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unborn = append(b.unborn, topics...)
	b.bearLocked()
}

func (b *Broker) bearLocked() {
	select {
	case b.born <- struct{}{}:
	default:
	}
}
