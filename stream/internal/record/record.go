// Package record is how brokers store an event: its attributes as compact
// JSON, and its data as it is.
package record

import (
	"encoding/json"
	"fmt"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// Version is stored with each event. Another one is not understood. An
// attribute that is new does not change the version, when a program that does
// not know the attribute can serve the event without it: nodes of two ages
// share a broker while they are replaced.
const Version = 1

// attributes are short because every stored event repeats them.
type attributes struct {
	Type        string                     `json:"t,omitempty"`
	Source      string                     `json:"s,omitempty"`
	ForeignID   string                     `json:"i,omitempty"`
	Subject     string                     `json:"u,omitempty"`
	Time        time.Time                  `json:"w,omitzero"`
	ContentType string                     `json:"c,omitempty"`
	Name        string                     `json:"e,omitempty"`
	DataSchema  string                     `json:"d,omitempty"`
	Traceparent string                     `json:"p,omitempty"`
	Tracestate  string                     `json:"ts,omitempty"`
	Node        string                     `json:"n,omitempty"`
	Published   int64                      `json:"b,omitempty"` // Unix time, ns
	Extensions  map[string]json.RawMessage `json:"x,omitempty"`
}

// Attributes encodes all of an event but its ID, its data and its tag.
func Attributes(e *stream.Event) ([]byte, error) {
	a := attributes{
		Type:        e.Type,
		Source:      e.Source,
		ForeignID:   e.ForeignID,
		Subject:     e.Subject,
		Time:        e.Time,
		ContentType: e.ContentType,
		Name:        e.Name,
		DataSchema:  e.DataSchema,
		Traceparent: e.Traceparent,
		Tracestate:  e.Tracestate,
		Node:        e.Origin.Node,
		Extensions:  e.Extensions,
	}
	if !e.Origin.Published.IsZero() {
		a.Published = e.Origin.Published.UnixNano()
	}
	b, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stream.ErrInvalid, err)
	}
	return b, nil
}

// Event puts a stored event together again. It keeps data. An event that could
// not be served, because somebody else has written it, is refused.
func Event(id stream.ID, attrs, data []byte) (*stream.Event, error) {
	var a attributes
	if err := json.Unmarshal(attrs, &a); err != nil {
		return nil, fmt.Errorf("%w: attributes: %w", stream.ErrInvalid, err)
	}
	e := &stream.Event{
		ID:          id,
		Type:        a.Type,
		Source:      a.Source,
		ForeignID:   a.ForeignID,
		Subject:     a.Subject,
		Time:        a.Time,
		ContentType: a.ContentType,
		Data:        data,
		Name:        a.Name,
		DataSchema:  a.DataSchema,
		Traceparent: a.Traceparent,
		Tracestate:  a.Tracestate,
		Origin:      eventlog.Origin{Node: a.Node},
		Extensions:  a.Extensions,
	}
	if a.Published != 0 {
		e.Origin.Published = time.Unix(0, a.Published).UTC()
	}
	if state, ok := e.Extensions["tracestate"]; ok {
		// An older program has stored it as any other extension.
		delete(e.Extensions, "tracestate")
		if err := json.Unmarshal(state, &e.Tracestate); err != nil {
			return nil, fmt.Errorf("%w: tracestate: %w", stream.ErrInvalid, err)
		}
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}
