package fanout

import "time"

// A Member is a connection that has no goroutine while it is parked. It belongs
// either to the goroutine that attends to it, or, parked, to its shard.
type Member struct {
	Reader
	// FD is the connection's file descriptor, which stays open while the member
	// may be parked.
	FD int
	// Conn is the connection.
	Conn Conn

	slot int // in the shard's list, counted from 1; 0: not parked; guarded by Shard.mu, as is woken
	// Gzip says that the connection is compressed.
	Gzip  bool
	woken bool // Wake was called while it was not parked
}

// A Conn is what a shard knows of a member's connection.
type Conn interface {
	// Wrote is called when a batch has been written whole, after up to window
	// members have been written to. It returns false when the connection is to be
	// attended to. The shard's lock is held: it must not call Park or Wake.
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
