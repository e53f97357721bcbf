package stream

import (
	"context"
	"errors"

	"weir/stream/eventlog"
)

// A Broker carries events between processes (or across a restart). It numbers
// the events of a topic and keeps them, and every process follows it into its
// own logs. A [Hub] without a broker keeps its events in the logs alone.
// Methods may be called by any goroutine.
//
// streamtest.TestBroker checks an implementation.
type Broker interface {
	// Publish stores a publication, all of it or none, in order, and sets the
	// IDs of its events. When it returns nil, the events are as safe as the
	// broker makes them. The error wraps ErrUnavailable when the broker is away
	// or does not take events, and ErrClosed when the topic has ended.
	Publish(ctx context.Context, topic string, p *Publication) error
	// Follow puts into the log what is published to the topic, by any process,
	// until stop is called: first what the broker holds after log.Last(), then
	// what comes. Follow returns at once. A broker follows all of its topics
	// with a few goroutines of its own, and an empty topic costs it next to
	// nothing. A log is followed by one call at a time.
	//
	// report(nil) says that the broker is in touch with the topic and that what
	// it held at the beginning is in the log: the log may be served. A report
	// of an error, which wraps ErrUnavailable, says that the broker is out of
	// touch, or takes no events; each attempt that fails is reported. The broker tries again by
	// itself, less often while it fails, until it can report nil again. Calls
	// of report come one after the other; the first may come before Follow
	// returns.
	//
	// Where the broker has lost events that the log has not had, or where IDs
	// went back, the broker calls log.Reset or log.Rewind first. An end of the
	// topic that the broker holds becomes log.Close, after its last event.
	//
	// When stop has returned, neither the log nor report is touched any more.
	// Stopping again changes nothing.
	Follow(topic string, log *eventlog.Log, report func(error)) (stop func())
}

// A Publication is what is stored at once. A broker keeps the events, which
// must not be changed afterwards.
type Publication struct {
	// Events are put in, in this order. There may be none.
	Events []*Event
	// End, when it is not empty, ends the topic for good after the events, for
	// this reason.
	End string
	// Checkpoint, when it is not nil, says where the topic's source stands
	// after these events: see [Checkpointer].
	Checkpoint []byte
	// Duplicate is set by Publish; it is nil when no event is one. Events[i]
	// is not put in where Duplicate[i] is set: the topic holds an event of the
	// same Source, ForeignID and Subject already, whose ID Events[i] gets. An event
	// without a ForeignID is no duplicate.
	Duplicate []bool
}

// A Checkpointer is a [Broker] that stores checkpoints. Checkpoint returns the
// last that was published to the topic, and nil if there is none. A Publish that
// has returned counts, also one that could not tell whether its events are in:
// by then, they are in or never will be.
type Checkpointer interface {
	Checkpoint(ctx context.Context, topic string) ([]byte, error)
}

// A Forgetter is a [Broker] that is told when topics that were made on demand have been
// idle for their time ([TopicOptions.IdleTTL]). Nobody in this process follows them, or
// uses them before Forget has returned. The broker removes what it has no reason to keep
// longer: events, end and checkpoint. Without that they are back under the same name. A broker whose
// topics other processes use is none: it finds out by itself what is not used.
type Forgetter interface {
	Forget(ctx context.Context, topics ...string) error
}

// ErrUnavailable marks, by errors.Is, that a broker cannot be reached or does
// not take events at present.
var ErrUnavailable = errors.New("the broker is not available")
