package stream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"weir/stream/eventlog"
)

// A Source makes the events of a topic. streamtest.TestSource checks an
// implementation.
type Source interface {
	// Run publishes until ctx is done, and then returns soon. An error is a
	// failure: the source is run again after a while. Nil means that
	// nothing will come any more, when ctx is not done: the topic ends in this
	// process, though not in the broker. Once the hub is closed, Publish
	// returns an error that wraps ErrClosed, so that a loop ends that does not
	// look at ctx.
	Run(ctx context.Context, p Publisher) error
}

// A SourceFunc is a Source that is a function.
type SourceFunc func(ctx context.Context, p Publisher) error

// Run calls f.
func (f SourceFunc) Run(ctx context.Context, p Publisher) error { return f(ctx, p) }

// A Publisher takes the events of one topic. Its methods may be called by any
// goroutine.
type Publisher interface {
	// Publish puts the events in, all or none, and returns once they are in.
	// An error that wraps ErrInvalid is about these events; a source may go on
	// with others.
	Publish(ctx context.Context, events ...Event) error
	// Fail counts a failure that the source survives, such as a line that is
	// too long.
	Fail(err error)
}

// A CheckpointPublisher is the Publisher of a topic that can keep, together
// with the events, where its source stands, so that the source goes on there in
// the next process: each event once, whenever the process was killed. A source
// that can go on asserts its Publisher to it. What a checkpoint says is the
// source's own affair.
type CheckpointPublisher interface {
	Publisher
	// Checkpoint returns the last checkpoint that was published to the topic,
	// and nil when there is none or nothing is kept. The error wraps
	// ErrUnavailable when that cannot be told at present.
	Checkpoint(ctx context.Context) ([]byte, error)
	// PublishCheckpoint is Publish, and keeps the checkpoint if and only if it
	// puts the events in. There may be no events.
	PublishCheckpoint(ctx context.Context, checkpoint []byte, events ...Event) error
}

// ErrRestart is for a source to return that has come to an orderly end and is
// to be run again after a while: no failure, and not the end of the topic.
var ErrRestart = errors.New("run again")

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

// The states. A source that publishes nothing itself, as source.HTTP of
// [weir/stream/source], stays in the first one.
const (
	SourceStarting SourceState = "starting" // nothing has come yet
	SourceUp       SourceState = "up"
	SourceFailing  SourceState = "failing" // failed, but not three times in a row
	SourceDown     SourceState = "down"    // failed three times in a row or more
	SourceEnded    SourceState = "ended"   // nothing will come any more
)

// SourceHealth tells how a topic's source (or broker) does.
type SourceHealth struct {
	State    SourceState
	Since    time.Time // of the state
	Failures int       // in a row
	Total    int       // of failures since the start
	Restarts int       // how often the source was run again, for whatever reason
	Err      error     // the last failure, nil once it is over; may name internals
}

// Class tells of what kind Err is, in a word that may be shown to anybody and
// used in metrics: invalid (an event), unavailable (the broker), timeout,
// missing, denied (as of files), panic, other; empty without an error.
func (h SourceHealth) Class() string {
	var panicked *panicError
	switch err := h.Err; {
	case err == nil:
		return ""
	case errors.As(err, &panicked):
		return "panic"
	case errors.Is(err, ErrInvalid):
		return "invalid"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case errors.Is(err, fs.ErrPermission):
		return "denied"
	default:
		return "other"
	}
}

// A panicError is the panic of a source.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("the source panicked: %v", e.value) }

// TopicHealth is the state of one topic.
type TopicHealth struct {
	Source  SourceHealth  // State is empty for a topic that no source feeds
	Broker  *SourceHealth // nil without a broker
	Log     eventlog.Stats
	Label   string // see TopicOptions
	Readers int
	Ended   string // why the topic has ended, or ""
}

// DemandedHealth is the state of all topics of one label that were made on demand,
// added up.
type DemandedHealth struct {
	Topics       int
	Entries      int                 // held
	Bytes, Limit int64               // of the logs: kept in memory, and allowed
	Brokers      map[SourceState]int // topics whose broker is in a state; nil without a broker
}

func (d DemandedHealth) with(t TopicHealth) DemandedHealth {
	d.Topics++
	d.Entries, d.Bytes, d.Limit = d.Entries+t.Log.Entries, d.Bytes+t.Log.Bytes, d.Limit+t.Log.Limit
	if t.Broker != nil {
		if d.Brokers == nil {
			d.Brokers = make(map[SourceState]int)
		}
		d.Brokers[t.Broker.State]++
	}
	return d
}
