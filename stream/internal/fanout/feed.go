package fanout

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream/eventlog"
)

const (
	maxShards = 8
	// shardSize is for how many connections a feed has a shard: a turn has a
	// price of its own.
	shardSize = 64
)

// A Feed brings what a view receives, in one format, to its connections. Its
// methods may be called by any goroutine.
type Feed struct {
	view    *eventlog.View
	format  *eventlog.Format
	pace    time.Duration
	procs   int
	unwatch func()
	shared  batches

	mu      sync.Mutex
	shards  []*Shard
	conns   int
	turn    int       // the shard whose turn is next
	turnAt  time.Time // when the last turn was due
	timer   *time.Timer
	armed   bool   // runTurn is scheduled
	version uint64 // rises with each change of the view
	load    arrivals
}

// New returns a feed of a view, which Close ends. Under load the connections
// gather events for the pace, and up to 20 times as long where that is needed:
// see turns.go. With a pace of 0 each event is released at once.
func New(view *eventlog.View, format *eventlog.Format, pace time.Duration) *Feed {
	f := &Feed{view: view, format: format, pace: pace, procs: runtime.GOMAXPROCS(0)}
	f.unwatch = view.Watch(f.changed)
	return f
}

// Close ends the feed, which has no connections any more.
func (f *Feed) Close() {
	f.unwatch()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
	}
}

// View returns what the feed brings.
func (f *Feed) View() *eventlog.View { return f.view }

// A Shard is a share of a feed's connections, which see the entries below
// released only. The turn of the shard moves released to the view's head.
type Shard struct {
	feed     *Feed
	index    int
	members  int    // guarded by Feed.mu, as is the next one
	version  uint64 // of the feed, at the last turn
	released atomic.Uint64

	// How long writing to the shard's connections takes, in nanoseconds,
	// smoothed; and how many shards had the last turn together, with this one.
	sweep      atomic.Int64
	concurrent atomic.Int32

	mu      sync.Mutex
	wake    chan struct{} // closed at the turn; nil while no reader waits
	woken   time.Time     // of the last turn that woke readers
	waiting int           // readers that wait on wake
	out     int           // readers that have not come back from it, until half have
	parked  parked
}

var seed = maphash.MakeSeed()

// join gives a connection a shard: the one that has the fewest, of as many as
// the feed needs. Connections that name the same thing in together share one.
func (f *Feed) join(together string) *Shard {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(maxShards, 1+f.conns/shardSize)
	if together != "" {
		n = maxShards
	}
	for len(f.shards) < n {
		s := &Shard{feed: f, index: len(f.shards), version: f.version}
		s.released.Store(f.view.Head())
		s.parked.at = s.released.Load()
		f.shards = append(f.shards, s)
	}
	best := f.shards[0]
	if together != "" {
		best = f.shards[maphash.String(seed, together)%maxShards]
	} else {
		for _, s := range f.shards[:n] {
			if s.members < best.members {
				best = s
			}
		}
	}
	best.members++
	f.conns++
	return best
}

func (f *Feed) leave(s *Shard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.members--
	f.conns--
}

// A Reader is a connection's place in a feed. One goroutine may use it at a
// time.
type Reader struct {
	*eventlog.Cursor
	shard *Shard
	on    chan struct{} // what Wait returned last
	busy  bool          // the last turn woke it, and it has not read all since
}

// Join gives a cursor of the feed's view a place in the feed. Connections that
// share something say so: those with the same text, which is not empty, are
// written to together.
func (f *Feed) Join(c *eventlog.Cursor, together string) Reader {
	return Reader{Cursor: c, shard: f.join(together)}
}

// Leave gives the place back.
func (r *Reader) Leave() { r.shard.feed.leave(r.shard) }

// Shard is a small number: readers with the same one are seldom written to at
// the same time.
func (r *Reader) Shard() int { return r.shard.index }

// Read returns what has been released to the connection, or nil when there is
// nothing. It does not wait. The errors are those of [eventlog.Cursor.Next].
func (r *Reader) Read() (*Batch, error) {
	f := r.shard.feed
	for {
		found, err := r.Peek(max(r.shard.released.Load(), r.Opened()))
		switch {
		case err != nil:
			return nil, err
		case found.First != nil:
			return newBatch(f.format, found.First), nil
		case found.From == found.To:
			if r.busy {
				r.busy = false
				r.shard.back()
			}
			return nil, nil
		}
		b := f.batch(found.From, found.To)
		if b == nil {
			continue // overtaken meanwhile: the cursor finds out
		}
		r.Advance(b.to, b.Last())
		if b.Events < len(b.Entries) && found.From < r.Opened() {
			if b = b.without(r.Opened()); len(b.Entries) == 0 {
				continue
			}
		}
		return b, nil
	}
}

// Wait returns a channel that is closed when there may be more to read. Call it
// before the Read that finds nothing, so that no turn is missed in between.
func (r *Reader) Wait() <-chan struct{} {
	s := r.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	if r.on != s.wake {
		r.busy = r.on != nil
		r.on = s.wake
		s.waiting++
	}
	return s.wake
}
