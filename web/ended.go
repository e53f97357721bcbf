package web

import (
	"slices"
	"time"

	"weir/stream"
)

// Bounds of what is told of streams that are over. Those that a fault has ended have a
// bound of their own: readers that come and go must not push them out. The page keeps
// by the same bounds (ending.js).
const (
	endedFor   = time.Minute
	maxFaulted = 40
	maxLeft    = 20
)

// A readerEnd is a stream that is over.
type readerEnd struct {
	readerOpen
	At      int64              `json:"at"` // ms
	Reason  stream.CloseReason `json:"reason,omitempty"`
	Fault   bool               `json:"fault,omitempty"`
	Events  int64              `json:"events"`
	Unsent  int64              `json:"unsent"`            // events that came while it was open and that it was not sent
	Missed  int64              `json:"missed,omitempty"`  // of these, those that gaps had told it of
	AtLeast bool               `json:"atLeast,omitempty"` // of those that were sent, some may not have arrived
}

// endings are the latest streams of one kind that are over.
type endings struct {
	most    int
	kept    []readerEnd // the oldest first
	dropped []endCount  // those of the last minute that are not kept
	over    int64       // how many have ended in all
}

// An endCount is how many streams ended in a second.
type endCount struct {
	at int64 // ms, of the latest
	n  int
}

// add takes one in, and counts the oldest instead of keeping it if there are too many.
func (d *endings) add(e readerEnd) {
	d.over++
	d.kept = append(d.kept, e)
	if len(d.kept) <= d.most {
		return
	}
	at := d.kept[0].At
	d.kept = slices.Delete(d.kept, 0, 1)
	d.drop(at, 1)
}

// drop counts streams that are not kept, and ended at a time, in ms.
func (d *endings) drop(at int64, n int) {
	if last := len(d.dropped) - 1; last >= 0 && d.dropped[last].at/1000 == at/1000 {
		d.dropped[last].at = at
		d.dropped[last].n += n
		return
	}
	d.dropped = append(d.dropped, endCount{at, n})
}

// reconcile counts those that were never in the picture, such as one that has come and
// gone between two frames: over is how many have ended in all.
func (d *endings) reconcile(over int64, now time.Time) {
	if n := over - d.over; n > 0 {
		d.over = over
		d.drop(now.UnixMilli(), int(n))
	}
}

// forget drops what ended before a time, in ms, and returns how many that are not kept
// have ended since.
func (d *endings) forget(since int64) (more int) {
	d.kept = slices.DeleteFunc(d.kept, func(e readerEnd) bool { return e.At < since })
	d.dropped = slices.DeleteFunc(d.dropped, func(c endCount) bool { return c.at < since })
	for _, c := range d.dropped {
		more += c.n
	}
	return more
}

// closed returns how many of a handler's streams have ended, by a fault and otherwise.
func closed(totals stream.Totals) (faulted, left int64) {
	for reason, n := range totals.Closed {
		if reason.Fault() {
			faulted += n
		} else {
			left += n
		}
	}
	return faulted, left
}

// end notes that a reader is gone, whose last state is known.
func (f *framer) end(known *seenReader, now time.Time) {
	reason := known.conn.Left()
	unsent, atLeast := known.conn.Unsent()
	of := &f.left
	if reason.Fault() {
		of = &f.faulted
	}
	of.add(readerEnd{
		readerOpen: openOf(known.n, known.conn), At: now.UnixMilli(), Reason: reason, Fault: reason.Fault(),
		Events: known.conn.Events(), Unsent: unsent, Missed: known.conn.Missed(), AtLeast: atLeast,
	})
}

// endings puts the streams that are over into a frame: those of the last minute if it
// tells everything, else those that have ended since the frame before; and how many of
// the last minute are not told of.
func (f *framer) endings(fr *frame, now time.Time) {
	since := now.Add(-endedFor).UnixMilli()
	fr.MoreFaulted, fr.MoreLeft = f.faulted.forget(since), f.left.forget(since)
	for _, e := range slices.Concat(f.faulted.kept, f.left.kept) {
		if fr.Full || e.At == fr.Time {
			fr.Ended = append(fr.Ended, e)
		}
	}
}
