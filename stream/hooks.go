package stream

import (
	"context"
	"net/http"
	"time"

	"weir/stream/eventlog"
)

// Hooks let somebody observe a stream: each is optional, and a nil one costs
// nothing. They are called by the goroutine that does the work. So they must be
// quick, must not block, and must be safe to call from many goroutines. They may
// call Conn.Close, and must not publish: some are called while a lock is held
// that publishing may wait for.
type Hooks struct {
	// Publish is called before an event enters. It may set the event's
	// Traceparent, Tracestate, Origin and Tag. The function it returns, if any, is
	// called when the event is in the log (or in the broker), or was refused, or with
	// ErrDuplicate.
	Publish func(ctx context.Context, topic string, e *Event) func(id ID, err error)
	// Receive is called for an event that came through a broker, before it
	// enters this process's log. It may set the event's Tag. It is not called for
	// what the broker held already when the topic was made here.
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
	// Flush is called soon after each batch has been flushed: on the lean
	// transport when some tens of connections have been written to. The argument
	// is valid during the call only.
	Flush func(f *Flush)
	// Traceparent and Session are told to the client in the connected event: the
	// trace context of the connection, and what all streams of one reader share.
	Traceparent, Session string
	// Open is called after the first flush: the client has the headers.
	Open func(now time.Time)
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
	// Lag is how many events were waiting beyond this batch.
	Lag uint64
}
