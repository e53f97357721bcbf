package eventlog

import (
	"context"
	"sync/atomic"
	"time"
)

// maxAhead is how far ahead of the clock an ID may be that a reader resumes
// from and the log has not reached: another node may have given it, and clocks
// differ a little.
const maxAhead = 10 * time.Second

// A Cursor is one reader's position in a view. It holds no entries but those
// that it was asked to begin with. One goroutine may use it at a time, but Lag
// and Index may be called by any.
//
// A cursor stands between two entries: it has read what comes before, up to the
// event with the ID last, and reads the entry with the index next. What is to
// be told before the next entry is in gaps, fault and first.
type Cursor struct {
	view  *View
	next  atomic.Uint64
	last  ID
	since ID     // the newest event when the cursor was opened
	epoch uint64 // of the log, when the cursor was last told of a rewind

	first []*Entry // read before the entry next
	gaps  []*Gap   // told before everything else
	fault *Entry   // told before the first entry
	ahead *ahead   // the reader knows an ID that the log has not reached

	before ID     // what comes before first
	opened uint64 // the view's head then
}

// An ahead is what a cursor must find out that resumes from an ID beyond the
// log's last.
type ahead struct {
	id   ID  // that the reader has
	from ID  // the log's last, when the cursor was opened
	back *ID // the log has gone back to here meanwhile
}

// resumeAhead is for an ID beyond the log's last. Another node may have given
// it, while this one has not followed so far yet: then the cursor waits until
// the log has reached it. In a log that gives the IDs itself no such event can
// exist.
func (c *Cursor) resumeAhead(id ID) {
	l := c.view.log
	limit := IDAt(time.Now().Add(maxAhead))
	if IDAt(l.last.Time().Add(maxAhead)).After(limit) {
		limit = IDAt(l.last.Time().Add(maxAhead)) // the clock of another node is ahead of this one's
	}
	if !l.opts.Numbered || id.After(limit) {
		c.tell(id, l.last, GapUnknown)
		return
	}
	c.ahead = &ahead{id: id, from: l.last}
	c.last = id
}

func (c *Cursor) tell(from, to ID, reason string) {
	c.gaps = append(c.gaps, &Gap{From: from, To: to, Reason: reason})
}

// Settled reports whether the cursor has nothing to tell but the entries that
// come next: no gap, no announcement, no rewind.
func (c *Cursor) Settled() bool {
	l := c.view.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(c.gaps) == 0 && len(c.first) == 0 && c.fault == nil && c.ahead == nil && c.epoch == l.epoch &&
		(l.ended == "" || c.next.Load() < c.view.head)
}

// View returns what the cursor reads.
func (c *Cursor) View() *View { return c.view }

// Epoch tells how often the log had gone back when the cursor was last told.
func (c *Cursor) Epoch() uint64 { return c.epoch }

// Index returns the index of the entry that is read next.
func (c *Cursor) Index() uint64 { return c.next.Load() }

// Since returns the ID of the newest event that was in the log when the cursor
// was opened: what comes up to it is a replay.
func (c *Cursor) Since() ID { return c.since }

// Opened returns the view's head when the cursor was opened.
func (c *Cursor) Opened() uint64 { return c.opened }

// Lost reports whether the cursor has a gap to tell.
func (c *Cursor) Lost() bool { return len(c.gaps) > 0 }

// Lag returns how many events the cursor has not read yet.
func (c *Cursor) Lag() uint64 {
	v := c.view
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return v.events(c.next.Load(), v.head)
}

// Dropped returns how many of those events the log no longer holds.
func (c *Cursor) Dropped() uint64 {
	v := c.view
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return v.events(c.next.Load(), v.tail)
}

// Behind returns how many entries of the whole log, those about other subjects among
// them, are not older than the next one for the reader: its distance from the newest.
// The last unsent entries that it has read count as not read. Where the next one is
// dropped already, that is all that is held, and what the reader has lost of its own.
func (c *Cursor) Behind(unsent uint64) uint64 {
	v, l := c.view, c.view.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	next := c.next.Load()
	next -= min(next, unsent)
	switch {
	case next >= v.head:
		return 0
	case next < v.tail:
		return uint64(l.all.held()) + v.tail - next
	}
	return l.all.head - v.at(next).index
}

// Position returns the ID after which the reader goes on: that of the newest
// event read, or the log's last where everything up to it has been read. Before
// a gap has been told, it is where the gap begins.
func (c *Cursor) Position() ID {
	l := c.view.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case len(c.gaps) > 0:
		return c.gaps[0].From
	case len(c.first) > 0:
		return c.before
	case c.ahead == nil && c.epoch == l.epoch && c.next.Load() == c.view.head:
		return latest(c.last, l.last)
	}
	return c.last
}

// A Range is what Peek has found: entries that are read one after the other.
type Range struct {
	From, To uint64   // indices; none when they are equal
	First    []*Entry // instead of the indices: entries that the cursor begins with
}

// Peek finds out what the cursor reads next, below the index limit. It does
// not move the cursor: Advance does. The error is a [*Gap], which is told once,
// or [*Ended]. Nothing to read is an empty range and no error.
func (c *Cursor) Peek(limit uint64) (Range, error) {
	v, l := c.view, c.view.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c.ahead != nil && c.epoch != l.epoch {
		c.outlast()
	}
	if c.ahead != nil && c.epoch == l.epoch && !c.reach() {
		if l.ended != "" {
			return Range{}, &Ended{Reason: l.ended}
		}
		return Range{}, nil
	}
	if len(c.gaps) > 0 {
		gap := c.gaps[0]
		c.gaps = c.gaps[1:]
		return Range{}, gap
	}
	if c.fault != nil {
		e := c.fault
		c.fault = nil
		return Range{First: []*Entry{e}}, nil
	}
	if len(c.first) > 0 {
		first := c.first
		c.first = nil
		return Range{First: first}, nil
	}
	if c.epoch != l.epoch {
		return Range{}, c.rewound()
	}
	if gap := c.overtaken(); gap != nil {
		return Range{}, gap
	}
	next := c.next.Load()
	if limit = min(limit, v.head); next < limit {
		return Range{From: next, To: limit}, nil
	}
	if l.ended != "" && next == v.head {
		return Range{}, &Ended{Reason: l.ended}
	}
	return Range{From: next, To: next}, nil
}

// rewound moves the cursor after what a rewind has kept.
func (c *Cursor) rewound() *Gap {
	v, l := c.view, c.view.log
	r := l.missed(c.epoch)
	gap := &Gap{From: c.last, To: r.kept, Reason: r.reason}
	if c.last.After(r.kept) || c.last.Compare(v.floor) < 0 {
		kept := latest(r.kept, v.floor)
		if gap.To = kept; c.last.After(kept) && r.lost.After(c.last) {
			// Events are lost that the reader never had; then it goes back.
			gap.To = r.lost
			c.gaps = append(c.gaps, &Gap{From: r.lost, To: kept, Reason: r.reason})
		}
		c.last = kept
	} else { // what was taken back lies ahead
		gap.From, gap.To = r.kept, r.lost
	}
	c.epoch, c.ahead = l.epoch, nil
	c.next.Store(v.after(c.last))
	return gap
}

// outlast keeps the cursor waiting where the log has gone back, and the ID that the
// reader knows is beyond all that was lost: the log never had that ID, so the node
// that gave it may have gone back before. A reader with an earlier ID is told at once.
func (c *Cursor) outlast() {
	l, a := c.view.log, c.ahead
	r := l.missed(c.epoch)
	if r.all || !a.id.After(r.lost) {
		return
	}
	if a.back == nil || a.back.After(r.kept) {
		a.back = &r.kept
	}
	c.epoch = l.epoch
}

// reach reports whether the log has reached the ID that the reader knows. The
// cursor then goes on after that ID. If the topic never gave that ID, the reader has
// missed what has come meanwhile, and is told a gap. If the ID was given before the
// log went back, the reader goes back, too.
func (c *Cursor) reach() bool {
	v, l := c.view, c.view.log
	a := c.ahead
	if l.last.Compare(a.id) < 0 {
		return false
	}
	c.ahead = nil
	c.next.Store(v.after(a.id))
	switch {
	case a.id.Compare(v.floor) < 0: // and what came after it has been dropped
		c.last = v.floor
		c.tell(a.id, v.floor, GapSlow)
		return true
	case l.all.has(a.id), a.id.Compare(l.all.floor) <= 0:
		return true
	case a.back != nil:
		c.last = latest(*a.back, v.floor)
		c.next.Store(v.after(c.last))
		c.tell(a.id, c.last, GapReset)
		return true
	}
	at := v.after(a.id)
	if at == v.tail || at <= c.opened {
		return true // nothing came in between
	}
	c.gaps = append(c.gaps, &Gap{From: a.from, To: v.at(at - 1).ID, Reason: GapUnknown})
	return true
}

// overtaken moves the cursor to the oldest entry held, where it has fallen
// behind that, and returns the gap if events were lost by it.
func (c *Cursor) overtaken() *Gap {
	v := c.view
	next := c.next.Load()
	if next >= v.tail {
		return nil
	}
	c.next.Store(v.tail)
	if c.last.Compare(v.floor) >= 0 {
		return nil
	}
	gap := &Gap{From: c.last, To: v.floor, Reason: GapSlow, Missed: v.events(next, v.tail)}
	c.last = v.floor
	return gap
}

// Advance moves the cursor after what it has read: to the index to, where the
// newest entry read has the ID last. Entries of Range.First move it by their ID
// alone.
func (c *Cursor) Advance(to uint64, last ID) {
	c.next.Store(to)
	c.last = last
}

// Next returns entries that wait for the cursor, in order, and waits for some
// when there are none. The error is a [*Gap], once, when events are lost to
// this reader, which then goes on; [*Ended] when the log is closed and read; or
// the context's error.
func (c *Cursor) Next(ctx context.Context) ([]*Entry, error) {
	for {
		fresh := c.view.log.changedNow()
		r, err := c.Peek(c.view.Head())
		if err != nil {
			return nil, err
		}
		if r.First != nil {
			return r.First, nil
		}
		entries := c.view.Entries(nil, r.From, r.To)
		if len(entries) > 0 {
			c.Advance(r.To, entries[len(entries)-1].ID)
			if entries = heard(entries, r.From, c.opened); len(entries) > 0 {
				return entries, nil
			}
		}
		if r.From < r.To {
			continue // overtaken meanwhile, or announcements alone
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// heard leaves out the announcements that are older than a cursor. The first
// entry has the index from.
func heard(entries []*Entry, from, opened uint64) []*Entry {
	var out []*Entry
	for i, e := range entries {
		if e.Event != nil || from+uint64(i) >= opened {
			out = append(out, e)
		}
	}
	return out
}
