package stream

import (
	"fmt"
	"runtime/debug"
	"slices"

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
// anybody reads in the format, by any goroutine, and must not change the event.
type Formatter func(dst []byte, topic string, e *Event) (name string, data []byte, err error)

func formatData(dst []byte, _ string, e *Event) (string, []byte, error) {
	return e.Name, append(dst, e.Data...), nil
}

func formatJSON(dst []byte, _ string, e *Event) (string, []byte, error) {
	data, err := e.AppendCloudEvent(dst)
	return "", data, err
}

// formatter returns the formatter of a format, or nil.
func (h *Hub) formatter(f Format) Formatter {
	switch f {
	case FormatData:
		return formatData
	case FormatJSON:
		return formatJSON
	}
	return h.opts.Formats[f]
}

// guarded turns the panic of a formatter into an error: it may run in a goroutine
// that writes to many.
func (h *Hub) guarded(f Formatter, dst []byte, topic string, e *Event) (name string, data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.opts.Logger.Error("a formatter panicked", "topic", topic, "event", e.ID.String(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the formatter panicked: %v", p)
		}
	}()
	return f(dst, topic, e)
}

// format returns the topic's own form of a format, which entries know it by.
func (h *Hub) format(t *topic, name Format, f Formatter) *eventlog.Format {
	t.mu.Lock()
	defer t.mu.Unlock()
	made := t.formats[name]
	if made == nil {
		made = &eventlog.Format{Name: string(name), Encode: func(dst []byte, e *Event) (string, []byte, error) {
			return h.guarded(f, dst, t.name, e)
		}}
		if t.formats == nil {
			t.formats = make(map[Format]*eventlog.Format)
		}
		t.formats[name] = made
	}
	return made
}

// formatNames returns the names of all formats, sorted.
func (h *Hub) formatNames() []string {
	names := []string{string(FormatData), string(FormatJSON)}
	for f := range h.opts.Formats {
		names = append(names, string(f))
	}
	slices.Sort(names)
	return names
}
