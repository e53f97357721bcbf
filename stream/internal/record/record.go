// Package record is how brokers store an event: its attributes as compact
// JSON, and its data as it is.
package record

import (
	"encoding/json"
	"fmt"
	"time"

	"weir/stream"
)

// Version is stored with each event. Another one is not understood.
const Version = 1

// attributes are short because every stored event repeats them.
type attributes struct {
	Type        string                     `json:"t,omitempty"`
	Source      string                     `json:"s,omitempty"`
	ForeignID   string                     `json:"i,omitempty"`
	Subject     string                     `json:"u,omitempty"`
	Time        time.Time                  `json:"w,omitzero"`
	ContentType string                     `json:"c,omitempty"`
	Traceparent string                     `json:"p,omitempty"`
	Extensions  map[string]json.RawMessage `json:"x,omitempty"`
}

// Attributes encodes all of an event but its ID, its data and its tag.
func Attributes(e *stream.Event) ([]byte, error) {
	b, err := json.Marshal(attributes{
		Type:        e.Type,
		Source:      e.Source,
		ForeignID:   e.ForeignID,
		Subject:     e.Subject,
		Time:        e.Time,
		ContentType: e.ContentType,
		Traceparent: e.Traceparent,
		Extensions:  e.Extensions,
	})
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
		Traceparent: a.Traceparent,
		Extensions:  a.Extensions,
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}
