package stream

import (
	"context"
	"errors"
)

// A Source makes the events of a topic. streamtest.TestSource checks an
// implementation.
type Source interface {
	// Run publishes until ctx is done, and then returns soon. An error is a
	// failure: the source is run again after a while. Nil means that the topic
	// has ended for good, when ctx is not done.
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

// ErrRestart is for a source to return that has come to an orderly end and is
// to be run again after a while: no failure, and not the end of the topic.
var ErrRestart = errors.New("run again")

// ValidTopic reports whether name may name a topic: 1 to 64 letters, digits,
// dots, dashes and underscores.
func ValidTopic(name string) bool {
	if len(name) == 0 || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
