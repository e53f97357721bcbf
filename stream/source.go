package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
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

var kinds struct {
	mu   sync.Mutex
	open map[string]func(argument string) (Source, error)
}

// RegisterSource makes a kind of source known by name, for [ParseSourceSpec]. open
// gets what stands behind the colon in "kind:argument" and refuses what it
// cannot use. It panics when the name is taken or has a character other than
// lower-case letters, digits and dashes.
func RegisterSource(kind string, open func(argument string) (Source, error)) {
	if !ValidTopic(kind) || kind != strings.ToLower(kind) {
		panic(fmt.Sprintf("stream: bad kind of source %q", kind))
	}
	kinds.mu.Lock()
	defer kinds.mu.Unlock()
	if kinds.open == nil {
		kinds.open = make(map[string]func(string) (Source, error))
	}
	if _, taken := kinds.open[kind]; taken {
		panic(fmt.Sprintf("stream: RegisterSource called twice for %q", kind))
	}
	kinds.open[kind] = open
}

// SourceKinds returns the names of the registered kinds, sorted.
func SourceKinds() []string {
	kinds.mu.Lock()
	defer kinds.mu.Unlock()
	return slices.Sorted(maps.Keys(kinds.open))
}

// A SourceSpec is a parsed "[topic=]kind[:argument]".
type SourceSpec struct{ Topic, Kind, Argument string }

// ParseSourceSpec reads "[topic=]kind[:argument]". The topic is the kind where
// none is given.
func ParseSourceSpec(spec string) (SourceSpec, error) {
	s := SourceSpec{}
	head, argument, _ := strings.Cut(spec, ":")
	s.Argument = argument
	topic, kind, named := strings.Cut(head, "=")
	if !named {
		topic, kind = head, head
	}
	s.Topic, s.Kind = topic, kind
	if !ValidTopic(topic) {
		return s, fmt.Errorf("bad topic %q: 1 to 64 letters, digits, dots, dashes and underscores", topic)
	}
	kinds.mu.Lock()
	_, known := kinds.open[kind]
	kinds.mu.Unlock()
	if !known {
		return s, fmt.Errorf("unknown kind of source %q: known are %s", kind, strings.Join(SourceKinds(), ", "))
	}
	return s, nil
}

// Open makes the source.
func (s SourceSpec) Open() (Source, error) {
	kinds.mu.Lock()
	open := kinds.open[s.Kind]
	kinds.mu.Unlock()
	if open == nil {
		return nil, fmt.Errorf("unknown kind of source %q", s.Kind)
	}
	return open(s.Argument)
}

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
