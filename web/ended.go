package web

import (
	"slices"
	"time"

	"weir/stream"
)

// Bounds of what is told of streams that are over.
const (
	endedFor = time.Minute
	maxEnded = 20
)

// A readerEnd is a stream that is over.
type readerEnd struct {
	readerOpen
	At      int64              `json:"at"` // ms
	Reason  stream.CloseReason `json:"reason,omitempty"`
	Fault   bool               `json:"fault,omitempty"`
	Events  int64              `json:"events"`
	Unsent  int64              `json:"unsent"`            // events that came while it was open and that it was not sent
	AtLeast bool               `json:"atLeast,omitempty"` // of those that were sent, some may not have arrived
}

// end notes that a reader is gone, whose last state is known. A stream that has
// come and gone between two frames was never in the picture.
func (f *framer) end(known *seenReader, now time.Time) {
	reason := known.conn.Left()
	unsent, atLeast := known.conn.Unsent()
	f.ended = append(f.ended, readerEnd{
		readerOpen: openOf(known.n, known.conn), At: now.UnixMilli(), Reason: reason, Fault: reason.Fault(),
		Events: known.conn.Events(), Unsent: unsent, AtLeast: atLeast,
	})
}

// endings puts the streams that are over into a frame: those of the last minute if it
// tells everything, else those that have ended since the frame before.
func (f *framer) endings(fr *frame, now time.Time) {
	since := now.Add(-endedFor).UnixMilli()
	f.ended = slices.DeleteFunc(f.ended, func(e readerEnd) bool { return e.At < since })
	f.ended = f.ended[max(0, len(f.ended)-maxEnded):]
	for _, e := range f.ended {
		if fr.Full || e.At == fr.Time {
			fr.Ended = append(fr.Ended, e)
		}
	}
}
