package fanout

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/stream/eventlog"
	"weir/stream/internal/netpoll"
)

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
	wokenAt time.Time     // when the last turn woke readers
	waiting int           // readers that wait on wake
	out     int           // readers still to come back before the writing is measured: half of those woken
	parked  parked
}

// write has what was released written to the shard's connections.
func (s *Shard) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
		s.wokenAt, s.out = time.Now(), (s.waiting+1)/2
		s.waiting = 0
	}
	s.writeParked()
}

// back counts a reader that has written what it was woken for. When half are
// back, the time is measured: among the others there may be slow ones, for which
// nobody else is to wait. Shards that had their turn together shared the
// processors.
func (s *Shard) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out--; s.out == 0 {
		s.record(time.Since(s.wokenAt) / time.Duration(max(s.concurrent.Load(), 1)))
	}
}

// record takes note of how long writing to the shard's connections took.
func (s *Shard) record(d time.Duration) {
	before := s.sweep.Load()
	s.sweep.Store(before + (int64(d)-before)/8)
}

// writeParked writes what was released to the parked members. The caller holds
// s.mu.
func (s *Shard) writeParked() {
	p := &s.parked
	if len(p.list) == 0 {
		p.list = nil
		return
	}
	f := s.feed
	span := f.view.Span()
	limit := s.released.Load()
	if span.Epoch != p.epoch {
		// The log went back: each member finds out for itself.
		p.epoch = span.Epoch
		s.attendAll()
	}
	// Nothing may be left to write: when two turns are due before the first has
	// written, the first writes what both have released.
	for p.at < limit && len(p.list) > 0 {
		b := f.shared.get(f.view, f.format, p.at, limit)
		if b == nil { // the members were overtaken
			s.attendAll()
			break
		}
		s.deliver(b, span.Head)
		p.at = b.to
	}
	if p.at = limit; f.view.Ended() != "" {
		s.attendAll() // for the end
	}
}

// attendAll gives every parked member a goroutine.
func (s *Shard) attendAll() {
	all := s.parked.list
	s.parked.list = nil
	for _, m := range all {
		m.slot = 0
		go m.Conn.Attend()
	}
}

// window is how many members are written to before what was written is counted.
//
// Gain: a system call drives the program out of the processor's caches; counting
// after each call would find neither its code nor its data there ("weir bench" at
// 1,000 × 1,000/s: a tenth of the CPU).
// Relies on: nothing; a window of 1 is right, too.
// Guarded by: the conformance tests, which count every event on both transports.
const window = 64

// A written is a member that has been written to, and when the write ended.
type written struct {
	m     *Member
	ended time.Duration // after the sweep began
}

// deliver writes a batch to every member that stands before it, in one sweep
// that never waits. Whoever is not served gets a goroutine. The caller holds
// s.mu.
func (s *Shard) deliver(b *Batch, head uint64) {
	began := time.Now()
	p := &s.parked
	last, lag := b.Last(), s.feed.view.Events(b.to, head)
	bytes := [2][]byte{b.Bytes(Encoding{Chunked: true}), nil}
	var leaving []*Member
	var ended time.Duration
	for i := 0; i < len(p.list); {
		done := p.written[:0]
		start := ended
		for ; i < len(p.list) && len(done) < window; i++ {
			m := p.list[i]
			switch next := m.Index(); {
			case next >= b.to: // it joined after the last turn, and has this batch
			case next == b.from && s.send(m, b, bytes[:], last, began.Add(ended)):
				ended = time.Since(began)
				done = append(done, written{m, ended})
			default:
				leaving = append(leaving, m)
			}
		}
		for _, w := range done {
			if !w.m.Conn.Wrote(b, began.Add(start), began.Add(w.ended), lag) {
				leaving = append(leaving, w.m)
			}
			start = w.ended // the end of one write is the beginning of the next
		}
	}
	clear(p.written[:])
	s.record(time.Since(began))
	for _, m := range leaving {
		p.remove(m)
		go m.Conn.Attend()
	}
}

// send writes a batch to one member. It returns false when the member is to be
// attended to: it has failed, or did not take all.
func (s *Shard) send(m *Member, b *Batch, bytes [][]byte, last eventlog.ID, began time.Time) bool {
	i := 0
	if m.Gzip {
		if i = 1; bytes[1] == nil {
			bytes[1] = b.Bytes(Encoding{Gzip: true, Chunked: true})
		}
	}
	n, err := netpoll.Send(m.FD, bytes[i])
	if err != nil {
		m.Conn.Failed(err)
		return false
	}
	m.Advance(b.to, last)
	if n < len(bytes[i]) {
		m.Conn.Rest(b, bytes[i][n:], began)
		return false
	}
	return true
}
