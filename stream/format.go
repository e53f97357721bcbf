package stream

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/stream/eventlog"
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
//
// Where it returns an error, panics, or gives a name that no event may have (that of a
// control event, see [eventlog.ControlEvents], or one that has a line end), readers get
// a stream-error message in the event's place, which says no more than that the event
// cannot be shown in this format. The log tells what happened, of each format once a minute.
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

// check panics where a format cannot be what its program means.
func (all formatters) check() {
	for f, formatter := range all {
		switch {
		case formatter == nil:
			panic(fmt.Sprintf("stream: HubOptions.Formats has no Formatter for %q", f))
		case f == "" || f == FormatData || f == FormatJSON:
			panic(fmt.Sprintf("stream: HubOptions.Formats cannot have a format %q: the name is taken", f))
		}
	}
}

// encode has a formatter encode an event. Its panic becomes an error: it may run in a
// goroutine that writes to many.
func (h *Hub) encode(format Format, f Formatter, dst []byte, topic string, e *Event) (name string, data []byte, err error) {
	var stack []any
	defer func() {
		if p := recover(); p != nil {
			err, stack = fmt.Errorf("the formatter panicked: %v", p), []any{"stack", string(debug.Stack())}
		}
		if err != nil && h.formatFaults.due(format, time.Now()) {
			h.opts.Logger.Error("an event cannot be shown in a format", append([]any{"format", format, "topic", topic, "event", e.ID.String(), "error", err}, stack...)...)
		}
	}()
	if name, data, err = f(dst, topic, e); err == nil && (slices.Contains(eventlog.ControlEvents, strings.TrimSpace(name)) || strings.ContainsAny(name, "\r\n\x00")) {
		err = fmt.Errorf("no event may have the name %.80q, which the formatter gave", name)
	}
	return name, data, err
}

// formatFaults remember when the log last told of a format's fault.
type formatFaults struct{ last sync.Map }

// due reports whether the log is to tell of a fault: at most once a minute, or an event
// that cannot be shown would be a line for each event.
func (f *formatFaults) due(format Format, now time.Time) bool {
	if last, ok := f.last.Load(format); ok && now.Sub(last.(time.Time)) < time.Minute {
		return false
	}
	f.last.Store(format, now)
	return true
}
