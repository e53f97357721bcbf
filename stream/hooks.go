package stream

import (
	"context"
	"net/http"
	"time"

	"weir/stream/eventlog"
)

// Hooks let somebody observe a stream: each is optional, and a nil one costs
// nothing. They are called by the goroutine that does the work, so they must
// be quick, must not block, and must be safe to call from many goroutines.
type Hooks struct {
	// Publish is called before an event enters. It may set the event's
	// Traceparent, Tracestate, Origin and Tag. The function it returns, if any, is called when the
	// event is in the log (or in the broker), or was refused.
	Publish func(ctx context.Context, topic string, e *Event) func(id ID, err error)
	// Receive is called for an event that came through a broker, before it
	// enters this process's log. It may set the event's Tag.
	Receive func(topic string, e *Event)
	// Topic is called when a topic has been made, with its label: see
	// TopicOptions.
	Topic func(topic, label string)
	// Connect is called when a connection has been admitted, before anything
	// is written to it. What it returns observes that connection alone.
	Connect func(r *http.Request, c *Conn) ConnHooks
	// Reject is called for a request that gets no stream. The refusal's Reason
	// is one of a bounded set.
	Reject func(r *http.Request, refusal *Refusal)
	// Source is called when the state of a topic's source or broker changes.
	Source func(change SourceChange)
}

// ConnHooks observe one connection. All but Disconnect come from one goroutine
// at a time, and Disconnect is the last.
type ConnHooks struct {
	// Traceparent and Session are told to the client in the connected event: the
	// trace context of the connection, and what all streams of one reader share.
	Traceparent, Session string
	// Open is called after the first flush: the client has the headers.
	Open func(now time.Time)
	// Flush is called soon after each batch has been flushed: on the lean
	// transport when some tens of connections have been written to. The argument
	// is valid during the call only.
	Flush func(f *Flush)
	// Gap is called when the client has been told of a gap.
	Gap func(g *eventlog.Gap, now time.Time)
	// Heartbeat is called after a ping.
	Heartbeat func(now time.Time)
	// Disconnect is called once, when the connection is over. The error is what
	// ended it, nil for an orderly end.
	Disconnect func(reason CloseReason, err error)
}

// A Flush is one batch on its way to one client.
type Flush struct {
	// Entries are what was written, in order, and Events is how many of them are
	// events, not announcements. Tagged are those whose event has a Tag. The
	// slices are shared and must not be changed.
	Entries []*eventlog.Entry
	Events  int
	Tagged  []*eventlog.Entry
	// Shard is a small number. Flushes of the same topic that have different ones
	// may come at once; those that have the same seldom do: let them share
	// counters that others do not touch.
	Shard int
	// Since is the newest event that was in the log already when the connection
	// was opened, and Replayed how many of the events, the first ones, are not
	// newer.
	Since    ID
	Replayed int
	// Bytes is how many bytes went out, compression included.
	Bytes int
	// Began and Ended enclose writing and flushing.
	Began, Ended time.Time
	// Lag is how many entries were waiting beyond this batch.
	Lag uint64
}

// A CloseReason says why a connection ended: one of a small set, fit for a
// metric's attribute. Beside those that have a name here there are
//
//	reset     the client's connection was reset: it crashed, or was cut off
//	vanished  the client acknowledged nothing any more
//	error     a write failed otherwise
//	drain     the server is shutting down
//	lifetime  the connection reached its greatest age
type CloseReason string

// The reasons that programs give or look for.
const (
	CloseClient   CloseReason = "client"   // the client went away
	closeReset    CloseReason = "reset"    // the client's connection was reset: it crashed, or was cut off
	CloseSlow     CloseReason = "slow"     // the client took nothing for the write timeout
	closeVanished CloseReason = "vanished" // the client acknowledged nothing any more
	closeError    CloseReason = "error"    // a write failed otherwise
	CloseEnded    CloseReason = "ended"    // the topic has ended
	CloseExpired  CloseReason = "expired"  // the right to read is over
	CloseRevoked  CloseReason = "revoked"  // somebody has ended the right to read
	closeDrain    CloseReason = "drain"    // the server is shutting down
	closeLifetime CloseReason = "lifetime" // the connection reached its greatest age
	ClosePanic    CloseReason = "panic"    // a fault in the server
)

// Fault reports whether the reason is one that somebody has to look into: the
// stream did not end as client or server wished.
func (r CloseReason) Fault() bool {
	switch r {
	case CloseSlow, closeVanished, closeError, ClosePanic:
		return true
	}
	return false
}

// cut reports whether a stream that ends for this reason is cut off, without
// another word to a client that is not there, or cannot be spoken to. All others
// end orderly.
func (r CloseReason) cut() bool {
	switch r {
	case CloseClient, closeReset, CloseSlow, closeVanished, closeError, ClosePanic:
		return true
	}
	return false
}

// CloseReasons are all of them.
var CloseReasons = []CloseReason{
	CloseClient, closeReset, CloseSlow, closeVanished, closeError, CloseEnded,
	CloseExpired, CloseRevoked, closeDrain, closeLifetime, ClosePanic,
}

// A SourceChange tells of a topic's source or broker.
type SourceChange struct {
	Topic string
	// Broker says that it is the broker, not the source.
	Broker bool
	// State is the new state.
	State SourceState
	// Failures is how many there have been in a row.
	Failures int
	// Err is the last failure.
	Err error
}

// A SourceState is the health of what feeds a topic.
type SourceState string

// The states.
const (
	sourceStarting SourceState = "starting" // nothing has come yet
	SourceUp       SourceState = "up"
	SourceFailing  SourceState = "failing" // failed, but not three times in a row
	SourceDown     SourceState = "down"    // failed three times in a row or more
	SourceEnded    SourceState = "ended"   // nothing will come any more
)
