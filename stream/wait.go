package stream

import (
	"sync/atomic"
	"time"
)

// A wait is what is known of the write under way: since when it has waited without the
// client taking anything. The goroutine that writes tells it; any goroutine may ask.
type wait struct {
	since   atomic.Int64 // as ticks; 0: no write is under way
	blocked atomic.Int64 // nanoseconds up to since
}

// ticks is a time as a number that no step of the system's clock changes: nanoseconds
// since about when the program began, never 0.
func ticks(t time.Time) int64 { return int64(t.Sub(programBegan)) }

var programBegan = time.Now().Add(-time.Second)

// slowWrite is from when on a write counts as one that has waited.
const slowWrite = time.Millisecond

// begin notes that a write begins, which may have to wait.
func (w *wait) begin(now time.Time) { w.since.Store(ticks(now)) }

// progress notes that the client has taken something of the write.
func (w *wait) progress(now time.Time) {
	w.add(now, w.since.Swap(ticks(now)))
}

// end notes that the write is over.
func (w *wait) end(now time.Time) { w.add(now, w.since.Swap(0)) }

func (w *wait) add(now time.Time, since int64) {
	if took := ticks(now) - since; since != 0 && took >= int64(slowWrite) {
		w.blocked.Add(took)
	}
}

// under returns for how long the write under way has waited since its last progress.
func (w *wait) under(now time.Time) (d time.Duration, waits bool) {
	since := w.since.Load()
	if since == 0 {
		return 0, false
	}
	return max(0, time.Duration(ticks(now)-since)), true
}

// total returns for how long writes have waited, this one among them.
func (w *wait) total(now time.Time) time.Duration {
	for {
		since, blocked := w.since.Load(), w.blocked.Load()
		if w.since.Load() != since {
			continue // or the end of a write could be counted twice
		}
		if d := ticks(now) - since; since != 0 && d >= int64(slowWrite) {
			blocked += d
		}
		return time.Duration(blocked)
	}
}

// firstLook is when a write that waits is first looked after: what the system's buffers
// took at once is no progress of the client's.
const firstLook = 50 * time.Millisecond

// mostLook is the longest time between two looks: who reads slowly, but steadily, is not
// to be told of as one that takes nothing.
const mostLook = time.Second

// nextLook is when a write that has waited since its last progress is looked after next:
// eight times in a write timeout, or more often, and exactly at its end. The first look
// comes soon.
func nextLook(waited, timeout time.Duration, first bool) time.Duration {
	step := min(timeout/8, mostLook)
	if first {
		step = min(step, firstLook)
	}
	return max(min(step, timeout-waited), 0)
}

// A patience is for how long a session's writes wait for its client. One goroutine may
// use it at a time.
type patience struct {
	timeout time.Duration
	why     *atomic.Pointer[closure] // of the session: it is to end
	endBy   time.Time                // when the session is to have ended; zero before that has been seen
}

// overdue reports whether a session that is to end has had a timeout for what was
// under way.
func (p *patience) overdue(now time.Time) bool {
	if p.why.Load() == nil {
		return false
	}
	if p.endBy.IsZero() {
		p.endBy = now.Add(p.timeout)
	}
	return !now.Before(p.endBy)
}
