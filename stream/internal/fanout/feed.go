package fanout

import (
	"hash/maphash"
	"runtime"
	"sync"
	"time"

	"weir/stream/eventlog"
)

// A feed has a shard for shardSize connections, and at most shardsPerProc for each
// processor, maxShards in all: a turn has a price of its own, a timer and a batch.
//
// Gain: 4 shards in place of 8 on two processors spare a twentieth of the CPU ("weir bench"
// at 1,000 × 1,000/s). Two for a processor, so that writing is spread over the pace.
// Relies on: nothing; any number is right.
// Guarded by: TestTurns, and the conformance tests, which count every event.
const (
	shardSize     = 64
	shardsPerProc = 2
	maxShards     = 8
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

// Join gives a cursor of the feed's view a place in the feed. Connections that
// share something say so: those with the same text, which is not empty, are
// written to together.
func (f *Feed) Join(c *eventlog.Cursor, together string) Reader {
	return Reader{Cursor: c, shard: f.join(together)}
}

var seed = maphash.MakeSeed()

// join gives a connection a shard: the one that has the fewest, of as many as
// the feed needs. Connections that name the same thing in together share one.
func (f *Feed) join(together string) *Shard {
	f.mu.Lock()
	defer f.mu.Unlock()
	most := min(maxShards, shardsPerProc*f.procs)
	n := min(most, 1+f.conns/shardSize)
	if together != "" {
		n = most
	}
	for len(f.shards) < n {
		s := &Shard{feed: f, index: len(f.shards), version: f.version}
		s.released.Store(f.view.Head())
		s.parked.at = s.released.Load()
		f.shards = append(f.shards, s)
	}
	best := f.shards[0]
	if together != "" {
		best = f.shards[maphash.String(seed, together)%uint64(most)]
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
