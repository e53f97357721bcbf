package stream

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
)

// A Format names a way to encode events for a client.
type Format string

// The formats that every topic has. A program adds its own by
// [HubOptions.Formats].
const (
	// FormatData is the payload itself, under the event's own name.
	FormatData Format = "data"
	// FormatJSON is CloudEvents 1.0 JSON, one line an event, unnamed.
	FormatJSON Format = "json"
)

// A Formatter appends the data of an event to dst, and returns it with the
// event's name on the wire, "" for none. It is called once for each event that
// anybody reads in the format, by any goroutine, while locks of the topic are held:
// it must be quick, must not change the event, and must not publish or ask the hub.
type Formatter func(dst []byte, topic string, e *Event) (name string, data []byte, err error)

func formatData(dst []byte, _ string, e *Event) (string, []byte, error) {
	return e.Name, append(dst, e.Data...), nil
}

func formatJSON(dst []byte, _ string, e *Event) (string, []byte, error) {
	data, err := e.AppendCloudEvent(dst)
	return "", data, err
}

// formatters are the formats of a hub beside those that every topic has.
type formatters map[Format]Formatter

// get returns the formatter of a format, or nil.
func (all formatters) get(f Format) Formatter {
	switch f {
	case FormatData:
		return formatData
	case FormatJSON:
		return formatJSON
	}
	return all[f]
}

// names returns the names of all formats, sorted.
func (all formatters) names() []string {
	names := []string{string(FormatData), string(FormatJSON)}
	for f := range all {
		names = append(names, string(f))
	}
	slices.Sort(names)
	return names
}

// guarded turns the panic of a formatter into an error: it may run in a goroutine
// that writes to many.
func guarded(logger *slog.Logger, f Formatter, dst []byte, topic string, e *Event) (name string, data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			logger.Error("a formatter panicked", "topic", topic, "event", e.ID.String(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the formatter panicked: %v", p)
		}
	}()
	return f(dst, topic, e)
}
