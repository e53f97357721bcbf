package fanout

import (
	"time"

	"weir/stream/eventlog"
	"weir/stream/internal/netpoll"
)

// A Member is a connection that has no goroutine while it is parked. It belongs
// either to the goroutine that attends to it, or, parked, to its shard.
type Member struct {
	Reader
	// FD is the connection's file descriptor, which stays open while the member
	// may be parked.
	FD int
	// Gzip says that the connection is compressed.
	Gzip bool
	// Conn is the connection.
	Conn Conn

	slot  int  // in the shard's list, counted from 1; 0: not parked; guarded by Shard.mu, as is the next one
	woken bool // Wake was called while it was not parked
}

// A Conn is what a shard knows of a member's connection.
type Conn interface {
	// Wrote is called when a batch has been written whole, some tens of
	// microseconds after the write: see window. It returns false when the
	// connection is to be attended to.
	Wrote(b *Batch, began, ended time.Time, lag uint64) bool
	// Rest is called when a batch was written in part. Attend comes next.
	Rest(b *Batch, rest []byte, began time.Time)
	// Failed is called when a write has failed. Attend comes next.
	Failed(err error)
	// Attend is called in a goroutine of its own: the member is not parked any
	// more, and is to be written to by that goroutine until Park.
	Attend()
}

// parked are the members of a shard that wait for its next turn. All but those
// that have joined since the last turn stand at the index at.
type parked struct {
	at    uint64
	epoch uint64 // of the log
	list  []*Member
	// What deliver works with.
	written [window]written
}

// Park leaves a member to its shard, when it has read all that was released. It
// returns false when there is something to do for the member.
func (m *Member) Park() bool {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.woken {
		m.woken = false
		return false
	}
	p := &s.parked
	if m.Index() < max(s.released.Load(), m.Opened()) || !m.Settled() {
		return false
	}
	if len(p.list) == 0 {
		p.at, p.epoch = s.released.Load(), m.Epoch()
	}
	p.list = append(p.list, m)
	m.slot = len(p.list)
	return true
}

// Wake has a member attended to: now, or when it is about to park.
func (m *Member) Wake() {
	s := m.shard
	s.mu.Lock()
	is := m.slot > 0
	if is {
		s.parked.remove(m)
	} else {
		m.woken = true
	}
	s.mu.Unlock()
	if is {
		go m.Conn.Attend()
	}
}

// remove takes a member out of the list, by putting the last one in its place.
func (p *parked) remove(m *Member) {
	last := len(p.list) - 1
	moved := p.list[last]
	p.list[m.slot-1], moved.slot = moved, m.slot
	p.list[last] = nil
	p.list = p.list[:last]
	m.slot = 0
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
	if span.Epoch != p.epoch || p.at == limit {
		// The log went back, or it has ended: each member finds out for itself.
		p.epoch = span.Epoch
		s.attendAll()
	}
	for p.at < limit && len(p.list) > 0 {
		b := f.batch(p.at, limit)
		if b == nil { // the members were overtaken
			s.attendAll()
			break
		}
		s.deliver(b, span.Head)
		p.at = b.to
	}
	if p.at = limit; f.view.Ended() != "" {
		s.attendAll()
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
	last, lag := b.Last(), head-min(head, b.to)
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
