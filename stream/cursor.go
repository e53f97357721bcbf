package stream

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Reasons of a [Gap].
const (
	GapSlow    = "slow"    // the reader was overtaken by the log's tail
	GapExpired = "expired" // the log no longer holds what the reader asked for
	GapRestart = "restart" // the log began after what the reader asked for
	GapReset   = "reset"   // the log was reset: IDs may have gone back
	GapUnknown = "unknown" // the reader asked for an ID that cannot exist yet
)

// A Gap tells a reader what it cannot get: the events after From, up to and
// including To. It is an error, and the cursor goes on behind the gap.
type Gap struct {
	From   ID     `json:"-"`
	To     ID     `json:"-"`
	Reason string `json:"reason"`
	// Missed is how many entries are lost, where the log can tell; else 0.
	Missed uint64 `json:"-"`

	rewind *rewind // what the log did, when it went back
}

func (g *Gap) Error() string {
	return fmt.Sprintf("events after %s up to %s are lost (%s)", g.From, g.To, g.Reason)
}

// Ended is the error of a cursor that has read everything of a closed log.
type Ended struct{ Reason string }

func (e *Ended) Error() string { return "the topic has ended: " + e.Reason }

// maxAhead is how far ahead of the clock an ID may be that a reader resumes
// from: another node may have given it, and clocks differ a little.
const maxAhead = 10 * time.Second

// Limits of one batch, so that a reader that catches up does not hold much.
const (
	maxBatchEntries = 512
	maxBatchBytes   = 64 << 10
)

// A Batch is a run of entries that a cursor found waiting.
type Batch struct {
	// Entries are in order. The slice is shared: it must not be changed, nor
	// kept beyond the next call on the cursor.
	Entries []*Entry
	// Events is how many of the entries are events, not announcements.
	Events int
	// Tagged are those of the entries whose event has a Tag.
	Tagged []*Entry
	// Wire is the entries' encodings, joined.
	Wire []byte

	from, to uint64
	full     bool // there was more, which another batch has
	// What encoded has made, once for all connections.
	made [3]struct {
		once  sync.Once
		bytes []byte
	}
}

// A Cursor is one reader's position in a log. It holds no entries. One
// goroutine may use it at a time; different cursors are independent.
type Cursor struct {
	opened uint64 // the entries below this one were there before the cursor
	lane   *lane  // nil: it follows each append
	log    *Log
	epoch  uint64
	gaps   []*Gap // to be told first
	fault  *Entry // likewise
	// What a delivery needs comes last: see session.
	next  uint64 // index of the entry to read next
	last  ID     // the newest event that the reader has
	since ID     // events up to this one were there before the cursor
	skip  bool   // entries up to last may still come: the reader has them
}

// Live returns a cursor that reads what comes from now on.
func (l *Log) Live() *Cursor {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.live()
}

func (l *Log) live() *Cursor {
	return &Cursor{log: l, next: l.head, last: l.last, epoch: l.epoch, opened: l.head, since: l.last, fault: l.fault}
}

// skipTo makes a live cursor of a view skip what its source had already: the
// view may not have caught up yet.
func (c *Cursor) skipTo(source ID) {
	if source.After(c.last) {
		c.last, c.since, c.skip = source, source, true
	}
}

// From returns a cursor that reads what comes after id, as a client asks that
// gives its last event ID. The zero ID stands for everything held. Where the
// log cannot vouch for all that came after id, the cursor's first answer is a
// [Gap].
func (l *Log) From(id ID) *Cursor {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := l.live()
	switch {
	case id.IsZero():
		c.next, c.last = l.tail, l.floor
		return c
	case id.Time().After(time.Now().Add(maxAhead)):
		c.tell(id, l.last, GapUnknown)
		return c
	}
	for _, r := range l.rewinds {
		if id.After(r.kept) && !id.After(r.lost) && !l.has(id) {
			// The event was taken back.
			c.last = r.kept
			if l.floor.After(r.kept) {
				c.last = l.floor
			}
			c.tell(id, c.last, r.reason)
			c.next = l.after(c.last)
			return c
		}
	}
	switch {
	case id.Compare(l.floor) < 0:
		c.tell(id, l.floor, l.why)
		c.next, c.last = l.tail, l.floor
	case id.After(l.last):
		// Another node gave it, and this one has not followed so far yet.
		c.last, c.skip = id, true
	default:
		c.next, c.last = l.after(id), id
	}
	for _, r := range l.rewinds {
		if !r.all && !id.After(r.kept) && r.lost.After(r.kept) && r.kept.Compare(l.floor) >= 0 {
			c.tell(r.kept, r.lost, r.reason)
		}
	}
	return c
}

func (c *Cursor) tell(from, to ID, reason string) {
	c.gaps = append(c.gaps, &Gap{From: from, To: to, Reason: reason})
}

// Lag returns how many entries the cursor has not read yet.
func (c *Cursor) Lag() uint64 {
	c.log.mu.RLock()
	defer c.log.mu.RUnlock()
	return c.log.head - min(c.next, c.log.head)
}

// Next returns the entries that wait for the cursor, and waits for some when
// there are none. It returns a [*Gap], once, when events are lost to this
// reader, and then goes on; [*Ended] when the log is closed and read; or the
// context's error.
func (c *Cursor) Next(ctx context.Context) (*Batch, error) {
	for {
		batch, wake, err := c.read()
		if err != nil || batch != nil {
			return batch, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// read returns a batch, or an error as [Cursor.Next] does, or neither and a
// channel that is closed when there may be more; for a cursor in a lane there is
// no channel. It does not wait.
func (c *Cursor) read() (*Batch, <-chan struct{}, error) {
	for {
		b, wake, err := c.step()
		if b == nil || len(b.Entries) > 0 {
			return b, wake, err
		}
		// Only announcements from before the cursor's time: read on.
	}
}

func (c *Cursor) step() (*Batch, <-chan struct{}, error) {
	l := c.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(c.gaps) > 0 {
		gap := c.gaps[0]
		c.gaps = c.gaps[1:]
		return nil, nil, gap
	}
	if c.fault != nil {
		e := c.fault
		c.fault = nil
		b := &Batch{Entries: []*Entry{e}, from: c.next, to: c.next}
		b.join()
		return b, nil, nil
	}
	if c.epoch != l.epoch {
		r := l.since(c.epoch)
		gap := &Gap{From: c.last, To: r.kept, Reason: r.reason, rewind: &r}
		switch {
		case c.last.After(r.kept), c.last.Compare(l.floor) < 0:
			c.last = r.kept
			if l.floor.After(c.last) {
				c.last = l.floor
			}
			gap.To = c.last
		default: // what was taken back lies ahead
			gap.From, gap.To = r.kept, r.lost
		}
		c.epoch, c.next, c.skip = l.epoch, l.after(c.last), false
		return nil, nil, gap
	}
	if c.next < l.tail {
		missed := l.tail - c.next
		c.next = l.tail
		if c.last.Compare(l.floor) < 0 {
			gap := &Gap{From: c.last, To: l.floor, Reason: GapSlow, Missed: missed}
			c.last = l.floor
			return nil, nil, gap
		}
	}
	limit := l.head
	if c.lane != nil {
		limit = max(c.lane.released, c.opened)
	}
	for c.skip && c.next < limit && !l.at(c.next).ID.After(c.last) {
		c.next++
	}
	if c.next >= limit {
		if l.ended != "" && c.next == l.head {
			return nil, nil, &Ended{Reason: l.ended}
		}
		if c.lane != nil {
			return nil, nil, nil
		}
		l.waiting.Store(true)
		return nil, l.fresh, nil
	}
	c.skip = false
	b := l.run(c.next, limit)
	if b.Events < len(b.Entries) && c.next < c.opened {
		b = b.without(c.opened) // announcements that are older than the cursor
	}
	c.next = b.to
	if n := len(b.Entries); n > 0 {
		c.last = b.Entries[n-1].ID
	}
	return b, nil, nil
}

// idle reports whether there is nothing to read, for a cursor in a lane.
func (c *Cursor) idle() bool {
	l := c.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(c.gaps) == 0 && c.fault == nil && c.epoch == l.epoch && c.next >= max(l.tail, c.lane.released, c.opened) &&
		(l.ended == "" || c.next < l.head)
}

// batch joins the entries from..to, or as many of them as one batch holds. The
// caller holds l.mu.
func (l *Log) batch(from, to uint64) *Batch {
	b := &Batch{from: from, to: from, Entries: make([]*Entry, 0, min(to-from, maxBatchEntries))}
	size := 0
	for i := from; i < to && len(b.Entries) < maxBatchEntries; i++ {
		e := l.at(i)
		if size += len(e.wire); size > maxBatchBytes && i > from {
			break
		}
		b.to = i + 1
		b.Entries = append(b.Entries, e)
	}
	b.full = b.to < to
	b.join()
	return b
}

// without returns the batch without the announcements below an index.
func (b *Batch) without(opened uint64) *Batch {
	own := &Batch{from: b.from, to: b.to}
	for i, e := range b.Entries {
		if e.Event != nil || b.from+uint64(i) >= opened {
			own.Entries = append(own.Entries, e)
		}
	}
	own.join()
	return own
}

// join makes the rest of a batch from its entries.
func (b *Batch) join() {
	size := 0
	for _, e := range b.Entries {
		size += len(e.wire)
		if e.Event != nil {
			b.Events++
			if e.Event.Tag != nil {
				b.Tagged = append(b.Tagged, e)
			}
		}
	}
	if len(b.Entries) == 1 {
		b.Wire = b.Entries[0].wire
	} else {
		b.Wire = make([]byte, 0, size)
		for _, e := range b.Entries {
			b.Wire = append(b.Wire, e.wire...)
		}
	}
}

// encoded returns the batch as it goes out: compressed or not, as a chunk of
// HTTP/1.1 or not.
func (b *Batch) encoded(gzip, chunked bool) []byte {
	if !gzip && !chunked {
		return b.Wire
	}
	form := &b.made[0]
	switch {
	case gzip && chunked:
		form = &b.made[1]
	case gzip:
		form = &b.made[2]
	}
	form.once.Do(func() {
		out := b.Wire
		if gzip {
			out = nil
			for _, e := range b.Entries {
				out = append(out, e.deflated()...)
			}
		}
		if chunked {
			out = appendChunk(nil, out)
		}
		form.bytes = out
	})
	return form.bytes
}

// replayed returns how many events of the batch came up to and including an ID.
func (b *Batch) replayed(since ID) int {
	if n := len(b.Entries); n == 0 || b.Entries[0].ID.After(since) {
		return 0
	}
	n := 0
	for _, e := range b.Entries {
		if e.Event != nil && !e.ID.After(since) {
			n++
		}
	}
	return n
}
