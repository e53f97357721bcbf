package source

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"weir/stream"
	"weir/stream/eventlog"
)

// A Kind makes sources that are configured by a text.
type Kind struct {
	// Name stands in a specification: lower-case letters, digits and dashes.
	Name string
	// Help says in a line what a source of this kind publishes.
	Help string
	// EventTypes are the types of the events, which metrics tell apart. A
	// source that leaves Event.Type empty needs none.
	EventTypes []string
	// Open makes a source of what stands after the colon in "kind:argument",
	// and refuses what it cannot use. It starts nothing and waits for nothing:
	// that is for the source's Run.
	Open func(argument string) (stream.Source, error)
}

// Kinds are the kinds of sources that a program knows. Where two have one
// name, the later counts, so that a program can put its own in the place of
// one that ships with Weir.
type Kinds []Kind

// Standard returns the kinds that ship with Weir. Stdin is what the source of
// kind stdin reads; connections counts the open streams for sources of kind
// host, and may be nil.
func Standard(stdin io.Reader, connections func() int) Kinds {
	return Kinds{
		{Name: "exec", Help: "the lines that a program prints", EventTypes: []string{LineType}, Open: openExec},
		{Name: "file", Help: "the lines that are added to a file", EventTypes: []string{LineType}, Open: openFile},
		{Name: "host", Help: "readings of this machine and process", EventTypes: []string{ReadingType}, Open: openHost(connections)},
		{Name: "http", Help: "nothing of its own: events come by POST /publish", Open: openHTTP},
		{Name: "sensor", Help: "simulated readings of a room", EventTypes: []string{ReadingType}, Open: openSensor},
		{Name: "stdin", Help: "the lines of standard input", EventTypes: []string{LineType}, Open: openStdin(stdin)},
	}
}

// A Spec says where the events of a topic come from.
type Spec struct {
	Topic, Argument string
	Kind            Kind
}

// Open makes the source.
func (s Spec) Open() (stream.Source, error) { return s.Kind.Open(s.Argument) }

// Parse reads "[topic=]kind[:argument]". The topic is the name of the kind
// where none is given. The argument is looked at by Spec.Open.
func (k Kinds) Parse(spec string) (Spec, error) {
	head, argument, _ := strings.Cut(spec, ":")
	topic, kind, named := strings.Cut(head, "=")
	if !named {
		kind = head
	}
	if err := eventlog.CheckTopic(topic); err != nil {
		return Spec{}, err
	}
	for _, known := range slices.Backward(k) {
		if known.Name == kind {
			return Spec{Topic: topic, Kind: known, Argument: argument}, nil
		}
	}
	return Spec{}, fmt.Errorf("unknown kind of source %q: known are %s", kind, strings.Join(k.Names(), ", "))
}

// Names returns the names of the kinds, sorted.
func (k Kinds) Names() []string {
	return sorted(k, func(kind Kind) []string { return []string{kind.Name} })
}

// EventTypes returns the types of the events that the kinds publish, sorted.
func (k Kinds) EventTypes() []string {
	return sorted(k, func(kind Kind) []string { return kind.EventTypes })
}

func sorted[T any, E cmp.Ordered](of []T, values func(T) []E) []E {
	var all []E
	for _, v := range of {
		all = append(all, values(v)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func noArgument(kind, argument string) error {
	if argument != "" {
		return fmt.Errorf("source %s takes no argument, got %q", kind, argument)
	}
	return nil
}
