package stream

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A pump has the parked sessions of one lane. At the lane's turn a lean pump
// writes to all of them itself, without ever waiting for one. Whom it cannot
// serve gets a goroutine until there is nothing to write again: a session that
// does not take a whole write, has a gap to be told, or is to end; and every
// session on net/http.
type pump struct {
	h     *Handler
	gzip  bool // its sessions are compressed
	lean  bool
	asked atomic.Bool // a turn waits for mu

	mu       sync.Mutex
	cur      Cursor
	sessions []*session
	timer    *time.Timer // for the next ping
	armed    bool        // beat will run
	// How long the sessions of a pump that is not lean take to write.
	began time.Time
	out   int
	// What deliver works with.
	written [window]flushed
	flush   Flush // what a hook is given, each time anew
}

// park takes a session that has nothing to write. It fails when there is
// something, or the session has been told to end.
func (p *pump) park(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.cause() != nil || !s.cur.idle() {
		return false
	}
	if len(p.sessions) == 0 {
		p.cur = Cursor{log: s.cur.log, next: s.cur.next, last: s.cur.last, epoch: s.cur.epoch, opened: s.cur.next, since: s.cur.last, lane: s.cur.lane}
	}
	s.slot = len(p.sessions)
	p.sessions = append(p.sessions, s)
	if !p.armed {
		p.armed = true
		p.schedule(or(p.h.Heartbeat, DefaultHeartbeat) - time.Since(s.conn.LastWrite()))
	}
	if p.out > 0 && len(p.sessions) >= p.out {
		// Half are back: among the others there may be slow ones, for which nobody
		// else is to wait. Lanes in company wrote at the same time.
		p.out = 0
		lane := p.cur.lane
		lane.took(time.Since(p.began) / time.Duration(max(lane.company.Load(), 1)))
	}
	return true
}

// release takes a session out, which is then to be attended to; the caller
// holds p.mu.
func (p *pump) release(s *session) {
	last := len(p.sessions) - 1
	moved := p.sessions[last]
	p.sessions[s.slot] = moved
	moved.slot = s.slot
	p.sessions[last] = nil
	p.sessions = p.sessions[:last]
	s.slot = -1
}

// wake has a session attended to, if it is parked.
func (p *pump) wake(s *session) {
	p.mu.Lock()
	parked := s.slot >= 0
	if parked {
		p.release(s)
	}
	p.mu.Unlock()
	if parked {
		go s.attend(false)
	}
}

// turn writes what the lane has released to the sessions. It may be called by
// any goroutine.
func (p *pump) turn() {
	if p.asked.Swap(true) {
		return // another one is about to begin
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked.Store(false)
	for len(p.sessions) > 0 {
		batch, _, err := p.cur.read()
		switch {
		case err != nil: // each session has to find out for itself
			attend(p.releaseAll())
		case batch == nil:
			return
		case p.lean:
			attend(p.deliver(batch))
		default:
			p.began, p.out = time.Now(), (len(p.sessions)+1)/2
			attend(p.releaseAll())
		}
	}
	p.sessions = nil
}

// attend gives each of the sessions a goroutine.
func attend(sessions []*session) {
	for _, s := range sessions {
		go s.attend(false)
	}
}

// releaseAll takes all sessions out; the caller holds p.mu.
func (p *pump) releaseAll() []*session {
	all := p.sessions
	p.sessions = nil
	for _, s := range all {
		s.slot = -1
	}
	return all
}

// window is to how many sessions a pump writes before it counts what it did. A
// system call drives the program out of the processor's caches: counting after
// each would find none of its code and data there.
const window = 64

// A flushed is a session that has been written to, and when the write ended.
type flushed struct {
	s     *session
	ended time.Duration // after the sweep began
}

// deliver writes a batch to every session that stands before it, and returns
// those that it could not serve; the caller holds p.mu.
func (p *pump) deliver(b *Batch) (leaving []*session) {
	began := time.Now()
	chunk, last := b.encoded(p.gzip, true), b.Entries[len(b.Entries)-1].ID
	lag := p.cur.Lag()
	var ended time.Duration
	for i := 0; i < len(p.sessions); {
		written := p.written[:0]
		start := ended
		for ; i < len(p.sessions) && len(written) < window; i++ {
			s := p.sessions[i]
			switch {
			case s.cur.next >= b.to: // it was faster than the pump
			case s.cur.next == b.from && s.lean() && s.writeNow(b, chunk, last, began.Add(ended)):
				ended = time.Since(began)
				written = append(written, flushed{s, ended})
			default:
				leaving = append(leaving, s)
			}
		}
		for _, w := range written {
			var from time.Time
			if b.Tagged != nil {
				from = began.Add(start)
			}
			if !p.count(w.s, b, from, began.Add(w.ended), lag) {
				leaving = append(leaving, w.s)
			}
			start = w.ended // the end of one write is the beginning of the next
		}
	}
	clear(p.written[:])
	p.cur.lane.took(time.Since(began))
	for _, s := range leaving {
		p.release(s)
	}
	return leaving
}

// lean reports whether a pump can write to the session.
func (s *session) lean() bool { return s.fd >= 0 && !s.cur.skip }

// writeNow writes a batch, whose last ID is given, to the session. It returns
// false when the session needs a goroutine, to write the rest or to end.
func (s *session) writeNow(b *Batch, chunk []byte, last ID, began time.Time) (whole bool) {
	n, err := writeNow(s.fd, chunk)
	if err != nil {
		s.cancel(errGone)
		return false
	}
	s.cur.next, s.cur.last = b.to, last
	s.conn.next.Store(b.to)
	if n < len(chunk) {
		s.direct.rest, s.direct.batch, s.direct.began = chunk[n:], b, began
		return false
	}
	return true
}

// count counts a batch that has been written to a session. It returns false
// when the session is to end.
func (p *pump) count(s *session, b *Batch, began, ended time.Time, lag uint64) (good bool) {
	defer p.contain(s, &good)
	s.delivered(b, &p.flush, began, ended, lag)
	return true
}

// contain turns a panic of a hook into the end of that connection: the pump
// serves others.
func (p *pump) contain(s *session, good *bool) {
	if r := recover(); r != nil {
		p.h.logger().Error("panic in a stream", "connection", s.conn.ID, "panic", r)
		s.cancel(fmt.Errorf("%w: %v", errPanic, r))
		*good = false
	}
}

// beat pings the sessions that have been quiet for the heartbeat interval.
func (p *pump) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed = len(p.sessions) > 0; !p.armed {
		return
	}
	now := time.Now()
	heartbeat := or(p.h.Heartbeat, DefaultHeartbeat)
	next := heartbeat
	var ping, chunk []byte
	var leaving []*session
	for i := 0; i < len(p.sessions); {
		s := p.sessions[i]
		if left := heartbeat - now.Sub(s.conn.LastWrite()); left > 0 {
			next = min(next, left)
			i++
			continue
		}
		if p.lean && ping == nil {
			ping = pingMessage(now)
			chunk = appendChunk(nil, ping)
			if p.gzip {
				chunk = appendChunk(nil, store(nil, ping))
			}
		}
		if p.lean && s.lean() && p.pingTo(s, ping, chunk, now) {
			i++
		} else {
			p.release(s) // a goroutine pings
			leaving = append(leaving, s)
		}
	}
	attend(leaving)
	// Looking costs a step for each session: not for every one of thousands
	// that are due one after the other.
	p.schedule(max(next, heartbeat/20))
}

// schedule has beat run; the caller holds p.mu.
func (p *pump) schedule(wait time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.beat)
	} else {
		p.timer.Reset(wait)
	}
}

func (p *pump) pingTo(s *session, ping, chunk []byte, now time.Time) (whole bool) {
	defer p.contain(s, &whole)
	n, err := writeNow(s.fd, chunk)
	if err != nil {
		s.cancel(errGone)
		return false
	}
	if s.gzip != nil {
		s.gzip.add(ping)
	}
	if n < len(chunk) {
		s.direct.rest = chunk[n:]
		return false
	}
	s.wrote(len(ping), now)
	if s.hooks.Heartbeat != nil {
		s.hooks.Heartbeat(now)
	}
	return true
}

// pumps are those of one handler, and what watches the connections that were
// taken over.
type pumps struct {
	mu     sync.Mutex
	byLane map[pumpKey]*pump
	users  int // sessions taken over
	poller *poller
	conns  map[uint64]*Conn
	keys   uint64
}

// The sessions of one pump are written to in the same way.
type pumpKey struct {
	lane       *lane
	gzip, lean bool
}

// of returns the pump for a cursor's session.
func (p *pumps) of(c *Cursor, gzip, lean bool, h *Handler) *pump {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byLane == nil {
		p.byLane = make(map[pumpKey]*pump)
	}
	key := pumpKey{c.lane, gzip, lean}
	one := p.byLane[key]
	if one == nil {
		one = &pump{h: h, gzip: gzip, lean: lean}
		p.byLane[key] = one
		c.log.onTurn(c.lane, one.turn)
	}
	return one
}

// start counts a user in, and reports whether there can be any.
func (p *pumps) start() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.poller == nil {
		poller, err := newPoller()
		if err != nil {
			return false
		}
		p.poller = poller
		p.conns = make(map[uint64]*Conn)
		go poller.run(p.gone)
	}
	p.users++
	return true
}

// leave counts a user out, and forgets the key of its connection. With the last
// user, the poller ends.
func (p *pumps) leave(key uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, key)
	if p.users--; p.users == 0 {
		p.poller.close()
		p.poller, p.conns = nil, nil
	}
}

// watch has the connection cancelled when the client goes, if it can.
func (p *pumps) watch(fd int, c *Conn) (key uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys++
	if ok = p.poller.add(fd, p.keys) == nil; ok {
		p.conns[p.keys] = c
	}
	return p.keys, ok
}

// unwatch is for a connection that stays open.
func (p *pumps) unwatch(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.poller.remove(fd)
}

// gone is called by the poller.
func (p *pumps) gone(key uint64) {
	p.mu.Lock()
	c := p.conns[key]
	delete(p.conns, key)
	p.mu.Unlock()
	if c != nil {
		c.cancel(errGone)
	}
}
