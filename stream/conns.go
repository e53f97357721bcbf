package stream

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Totals are counted since the handler began.
type Totals struct {
	Connections int64                 // admitted
	Rejected    int64                 // refused
	Events      int64                 // sent, by connections that are over
	Bytes       int64                 // likewise
	Duration    time.Duration         // of the connections that are over, added up
	Closed      map[CloseReason]int64 // connections that are over
	Gaps        int64                 // told by connections that are over
}

// conns are the open connections of a handler, and what those that are over have
// added up to. Its methods may be called by any goroutine. No other lock is held
// while mu is taken, and none is taken while it is held.
type conns struct {
	mu        sync.Mutex
	open      map[string]*Conn
	totals    Totals
	draining  bool
	drainedAt time.Time     // when the drain is to be over
	cutAt     time.Time     // when it cuts off who takes nothing; zero: not known
	idle      chan struct{} // closed when the last connection has gone in a drain
	faulted   []Faulted     // the latest streams that a fault has ended, as a ring
	oldest    int           // of them
}

// enter takes a connection in. It fails in a drain.
func (a *conns) enter(c *Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return false
	}
	if a.open == nil {
		a.open = make(map[string]*Conn)
		a.totals.Closed = make(map[CloseReason]int64)
	}
	a.open[c.ID] = c
	a.totals.Connections++
	return true
}

func (a *conns) leave(c *Conn, reason CloseReason) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, c.ID)
	a.totals.Events += c.Events()
	a.totals.Bytes += c.Bytes()
	a.totals.Duration += time.Since(c.Started)
	a.totals.Closed[reason]++
	a.totals.Gaps += c.Errors()
	a.remember(c, reason)
	if a.draining && len(a.open) == 0 {
		close(a.idle)
	}
}

// refused counts a request that got no stream.
func (a *conns) refused() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.totals.Rejected++
}

func (a *conns) list() []*Conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.open))
}

func (a *conns) one(id string) *Conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open[id]
}

func (a *conns) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

func (a *conns) counted() Totals {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.totals
	t.Closed = maps.Clone(t.Closed)
	return t
}

// drain lets nobody in any more, has the open connections end, spread over the
// duration, and returns a channel that is closed when all have. The deadline, if it is
// not zero, is when cutOff is called at the latest. Draining again changes nothing.
func (a *conns) drain(spread time.Duration, deadline time.Time) (idle <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return a.idle
	}
	a.draining, a.drainedAt, a.cutAt = true, time.Now().Add(spread), deadline
	a.idle = make(chan struct{})
	if len(a.open) == 0 {
		close(a.idle)
	}
	for _, c := range a.open {
		time.AfterFunc(time.Duration(rand.Float64()*float64(spread)), func() { c.Close(closeDrain) })
	}
	return a.idle
}

func (a *conns) inDrain() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}

// drainLeft is how long the drain is to last yet.
func (a *conns) drainLeft() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, time.Until(a.drainedAt))
}

// Bounds of the end of a drain whose time is over.
const (
	cutLook  = 20 * time.Millisecond  // between two looks
	cutAfter = 100 * time.Millisecond // that a client has taken nothing of a write
	cutAll   = time.Second            // after which every stream that is left is cut off
)

// cutOff ends the open connections at once, and cuts off those whose client takes
// nothing, until idle is closed.
func (a *conns) cutOff(idle <-chan struct{}) {
	for _, c := range a.list() {
		c.Close(closeDrain)
	}
	look := time.NewTicker(cutLook)
	defer look.Stop()
	for began := time.Now(); time.Since(began) < 2*cutAll; {
		select {
		case <-idle:
			return
		case now := <-look.C:
			for _, c := range a.list() {
				if waited, waits := c.wait.under(now); waits && waited >= cutAfter || now.Sub(began) >= cutAll {
					c.cutOff()
				}
			}
		}
	}
}

// cutIn is how long it is until a drain cuts off who takes nothing; not ok when there
// is no such time.
func (a *conns) cutIn() (left time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, time.Until(a.cutAt)), !a.cutAt.IsZero()
}
