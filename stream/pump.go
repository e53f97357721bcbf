package stream

import (
	"fmt"
	"sync"
	"time"
)

// A pump serves the parked sessions of one lane, in one goroutine, which is
// there while there are any.
type pump struct {
	h    *Handler
	gzip bool // its sessions are compressed

	mu       sync.Mutex
	cur      *Cursor
	sessions []*session
	running  bool
	due      time.Time     // when a session may be due for a ping
	flush    Flush         // what a hook is given, each time anew
	empty    chan struct{} // told when the last session has gone
}

// release takes a session out and gives it a goroutine; the caller holds p.mu.
func (p *pump) release(s *session) {
	last := len(p.sessions) - 1
	moved := p.sessions[last]
	p.sessions[s.direct.slot] = moved
	moved.direct.slot = s.direct.slot
	p.sessions[last] = nil
	p.sessions = p.sessions[:last]
	s.direct.slot = -1
	if last == 0 {
		select {
		case p.empty <- struct{}{}:
		default:
		}
	}
	go s.runDirect(false)
}

func (p *pump) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.mu.Lock()
		if len(p.sessions) == 0 {
			p.running, p.sessions = false, nil
			p.cur.lane.sweep.Store(0)
			p.mu.Unlock()
			return
		}
		batch, fresh, err := p.cur.read()
		var due time.Duration
		switch {
		case err != nil: // each session has to find out for itself
			for len(p.sessions) > 0 {
				p.release(p.sessions[len(p.sessions)-1])
			}
		case batch != nil:
			p.deliver(batch)
		default:
			// No session is due before p.due: who has parked since then, or been
			// written to, is due later still.
			now := time.Now()
			if due = p.due.Sub(now); due <= 0 {
				due = p.beat(now)
				p.due = now.Add(due)
			}
		}
		p.mu.Unlock()
		if fresh == nil {
			continue
		}
		timer.Reset(due)
		select {
		case <-fresh:
		case <-timer.C:
		case <-p.empty:
		}
	}
}

// deliver writes a batch to every session that stands before it; the caller
// holds p.mu.
func (p *pump) deliver(b *Batch) {
	began := time.Now()
	defer func() { p.cur.lane.took(time.Since(began)) }()
	chunk := b.encoded(p.gzip, true)
	lag := p.cur.Lag()
	for i := 0; i < len(p.sessions); {
		s := p.sessions[i]
		switch {
		case s.cur.next >= b.to: // it was faster than the pump
			i++
		case s.cur.next == b.from && p.deliverTo(s, b, chunk, lag):
			i++
		default:
			p.release(s) // another one is at i now
		}
	}
}

// deliverTo writes a batch to one session. It returns false when the session
// needs a goroutine, to write the rest or to end.
func (p *pump) deliverTo(s *session, b *Batch, chunk []byte, lag uint64) (whole bool) {
	defer p.contain(s, &whole)
	var began time.Time
	if b.tagged && s.hooks.Flush != nil {
		began = time.Now()
	}
	n, err := writeNow(s.direct.fd, chunk)
	if err != nil {
		s.cancel(errGone)
		return false
	}
	s.cur.next, s.cur.last = b.to, b.Entries[len(b.Entries)-1].ID
	s.conn.next.Store(b.to)
	if n < len(chunk) {
		s.direct.rest, s.direct.batch, s.direct.began = chunk[n:], b, began
		return false
	}
	s.delivered(b, &p.flush, began, time.Now(), lag)
	return true
}

// contain turns a panic of a hook into the end of that connection: the pump
// serves others.
func (p *pump) contain(s *session, whole *bool) {
	if r := recover(); r != nil {
		p.h.logger().Error("panic in a stream", "connection", s.conn.ID, "panic", r)
		s.cancel(fmt.Errorf("%w: %v", errPanic, r))
		*whole = false
	}
}

// beat pings the sessions that have been quiet for the heartbeat interval, and
// returns when to look again; the caller holds p.mu.
func (p *pump) beat(now time.Time) time.Duration {
	heartbeat := or(p.h.Heartbeat, DefaultHeartbeat)
	next := heartbeat
	var ping, chunk []byte
	for i := 0; i < len(p.sessions); {
		s := p.sessions[i]
		left := heartbeat - now.Sub(s.conn.LastWrite())
		if left > 0 {
			next = min(next, left)
			i++
			continue
		}
		if ping == nil {
			ping = pingMessage(now)
			chunk = appendChunk(nil, ping)
			if p.gzip {
				chunk = appendChunk(nil, store(nil, ping))
			}
		}
		if p.pingTo(s, ping, chunk, now) {
			i++
		} else {
			p.release(s)
		}
	}
	// Looking costs a step for each session: not for every one of thousands
	// that are due one after the other.
	return max(next, heartbeat/20)
}

func (p *pump) pingTo(s *session, ping, chunk []byte, now time.Time) (whole bool) {
	defer p.contain(s, &whole)
	n, err := writeNow(s.direct.fd, chunk)
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

// pumps are those of one handler, and what watches their connections.
type pumps struct {
	mu     sync.Mutex
	users  int // sessions taken over
	byLane map[pumpKey]*pump
	poller *poller
	conns  map[uint64]*Conn
	keys   uint64
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
		p.byLane = make(map[pumpKey]*pump)
		go poller.run(p.gone)
	}
	p.users++
	return true
}

// leave counts a user out. With the last one, the poller ends.
func (p *pumps) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		p.poller.close()
		p.poller, p.conns, p.byLane = nil, nil, nil
	}
}

// of returns the pump of a cursor's lane.
func (p *pumps) of(c *Cursor, gzip bool, h *Handler) *pump {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := pumpKey{c.lane, gzip}
	one := p.byLane[key]
	if one == nil {
		one = &pump{h: h, gzip: gzip, cur: &Cursor{log: c.log, lane: c.lane}, empty: make(chan struct{}, 1)}
		p.byLane[key] = one
	}
	return one
}

// The sessions of one pump write the same bytes.
type pumpKey struct {
	lane *lane
	gzip bool
}

// watch has the connection's context cancelled when the client goes.
func (p *pumps) watch(fd int, c *Conn) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys++
	if p.poller.add(fd, p.keys) == nil {
		p.conns[p.keys] = c
	} // else the next write will tell
	return p.keys
}

func (p *pumps) forget(key uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, key)
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
