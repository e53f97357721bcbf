package journey

import (
	"encoding/hex"
	"time"
)

// A Ref is the trace context in which an event was created. Every reader of the
// event gets it, so it names the event on every node.
type Ref struct {
	Trace [16]byte
	Span  [8]byte
}

// TraceID returns the trace's ID as text.
func (r Ref) TraceID() string { return hex.EncodeToString(r.Trace[:]) }

// SpanID returns the span's ID as text.
func (r Ref) SpanID() string { return hex.EncodeToString(r.Span[:]) }

// An Event says which event a step belongs to.
type Event struct {
	Topic, ID, Type, Subject string
	// Node is where it was published.
	Node string
	// Published is when. On another node that is the publishing node's clock.
	Published time.Time
}

// A Span is from when to when something was done. The zero Span is nothing.
type Span struct{ Began, Ended time.Time }

// IsZero reports whether nothing is known of the span.
func (s Span) IsZero() bool { return s.Ended.IsZero() }

// A Delivery is one event on its way to one connection.
type Delivery struct {
	// Connection is the ID of the connection.
	Connection string
	// Entered is when the event was in the log. Began and Ended enclose writing
	// and flushing.
	Entered, Began, Ended time.Time
	// Batch is how many events were written together.
	Batch int
	// Replay says that the event was in the log before the connection was opened.
	Replay bool
	// Gapped says that events were lost to the client just before.
	Gapped bool
	// Why says why the delivery is remembered: first, slowest, gapped, random,
	// reported, late, or "" for the reader's own.
	Why string
}

// from is when the delivery began to count: for a replay, which may be of an
// event of long ago, the beginning of the write.
func (d *Delivery) from() time.Time {
	if d.Replay {
		return d.Began
	}
	return d.Entered
}

// A Report is what a page tells of an event, by the server's clock.
type Report struct {
	// Connection is the page's own.
	Connection string
	// Received is when the page had the event, and Shown when it was on screen.
	// One that was Unseen was not on screen when it came; Shown is Received then.
	Received, Shown time.Time
	Unseen          bool
	// Opened is when the connection was opened, if the event was in the log before: the
	// page came later than the event. Zero: it was there when the event came.
	Opened time.Time
	// Busy is how long the page's main thread had been at something else before
	// it could take the event.
	Busy time.Duration
	// Number counts the reports of the event, from 1; the Store sets it.
	Number int
}
