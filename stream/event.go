package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Content types of [Event.Data].
const (
	JSON = "application/json"
	Text = "text/plain"
)

// DefaultType is the CloudEvents type of an event that states none.
const DefaultType = "weir.event"

// ErrInvalid marks, by errors.Is, an event that may not enter a log: its data
// is not what its content type says, or an attribute cannot be carried.
var ErrInvalid = errors.New("invalid event")

// An Event is what a source publishes and a client receives. The field names
// are those of CloudEvents 1.0. Once it is in a log, an event is shared by
// every connection and must not be changed.
type Event struct {
	// ID is given by the log (or by the broker) when the event enters.
	ID ID
	// Type says what kind of event it is. Default: DefaultType.
	Type string
	// Source says who made it. Default: "/topics/" and the topic.
	Source string
	// ForeignID is the CloudEvents id that the publisher gave the event; it is
	// passed on untouched. Default: the text of ID.
	ForeignID string
	// Subject is the CloudEvents subject; it may be empty.
	Subject string
	// Time is when it happened. Default: when it was published.
	Time time.Time
	// ContentType is JSON or Text. Default: JSON.
	ContentType string
	// Data is the payload: a JSON value, or any text.
	Data []byte
	// Traceparent is the W3C trace context in which the event was created. It
	// travels inside the event, the same for every receiver.
	Traceparent string
	// Extensions are further CloudEvents attributes of the publisher, each a
	// JSON string, number or boolean.
	Extensions map[string]json.RawMessage

	// Tag belongs to the [Hooks] that observe the stream: a value set in
	// Publish or Receive comes back in Flush. It is never encoded.
	Tag any
}

// Validate reports, wrapping ErrInvalid, why an event may not enter a log.
func (e *Event) Validate() error {
	switch e.ContentType {
	case "", JSON:
		if !json.Valid(e.Data) {
			return fmt.Errorf("%w: data is not well-formed JSON", ErrInvalid)
		}
	case Text:
	default:
		return fmt.Errorf("%w: content type %.64q is neither %s nor %s", ErrInvalid, e.ContentType, JSON, Text)
	}
	for _, attr := range []struct{ name, value string }{
		{"type", e.Type}, {"source", e.Source}, {"id", e.ForeignID}, {"subject", e.Subject}, {"traceparent", e.Traceparent},
	} {
		if len(attr.value) > 1024 {
			return fmt.Errorf("%w: attribute %s is longer than 1024 bytes", ErrInvalid, attr.name)
		}
		if !utf8.ValidString(attr.value) || strings.ContainsFunc(attr.value, isControl) {
			return fmt.Errorf("%w: attribute %s has control characters or is not UTF-8", ErrInvalid, attr.name)
		}
	}
	for name, value := range e.Extensions {
		if !validExtension(name) {
			return fmt.Errorf("%w: extension attribute %.64q is not 1 to 20 lower-case letters and digits", ErrInvalid, name)
		}
		if v := bytes.TrimSpace(value); !json.Valid(v) || v[0] == '{' || v[0] == '[' || v[0] == 'n' {
			return fmt.Errorf("%w: extension attribute %s is not a JSON string, number or boolean", ErrInvalid, name)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// reserved are the members of a CloudEvent that are fields of Event.
var reserved = []string{
	"specversion", "id", "source", "type", "subject", "time",
	"datacontenttype", "dataschema", "data", "data_base64", "traceparent",
}

func validExtension(name string) bool {
	if len(name) == 0 || len(name) > 20 || slices.Contains(reserved, name) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// AppendCloudEvent appends the event as one line of CloudEvents 1.0 JSON, with
// the trace context as the traceparent extension. The attribute datacontenttype
// is left out for JSON, which the format takes its absence for. The event must
// be valid.
func (e *Event) AppendCloudEvent(dst []byte) ([]byte, error) {
	dst = append(dst, `{"specversion":"1.0","id":`...)
	if e.ForeignID != "" {
		dst = appendJSONString(dst, e.ForeignID)
	} else {
		dst = append(dst, '"')
		dst = e.ID.AppendTo(dst)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"source":`...)
	dst = appendJSONString(dst, e.Source)
	dst = append(dst, `,"type":`...)
	dst = appendJSONString(dst, e.Type)
	if e.Subject != "" {
		dst = append(dst, `,"subject":`...)
		dst = appendJSONString(dst, e.Subject)
	}
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = append(dst, '"')
	if e.Traceparent != "" {
		dst = append(dst, `,"traceparent":`...)
		dst = appendJSONString(dst, e.Traceparent)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		dst = append(dst, `,"`...)
		dst = append(dst, name...)
		dst = append(dst, `":`...)
		dst = append(dst, bytes.TrimSpace(e.Extensions[name])...)
	}
	if e.ContentType == Text {
		dst = append(dst, `,"datacontenttype":"text/plain","data":`...)
		dst = appendJSONString(dst, string(e.Data))
		return append(dst, '}'), nil
	}
	dst = append(dst, `,"data":`...)
	buf := bytes.NewBuffer(dst)
	if err := json.Compact(buf, e.Data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return append(buf.Bytes(), '}'), nil
}

func appendJSONString(dst []byte, s string) []byte {
	if plainJSON(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	quoted, _ := json.Marshal(s) // cannot fail for a string
	return append(dst, quoted...)
}

func plainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// ParseCloudEvent reads one CloudEvents 1.0 JSON object (structured mode). It
// refuses, wrapping ErrInvalid, an object that lacks a required attribute.
// Binary data (data_base64) is not carried by an event stream and is refused.
func ParseCloudEvent(b []byte) (Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	e := Event{ContentType: JSON, Data: []byte("null")}
	var specversion, contentType, when string
	for name, value := range members {
		var target *string
		switch name {
		case "specversion":
			target = &specversion
		case "id":
			target = &e.ForeignID
		case "source":
			target = &e.Source
		case "type":
			target = &e.Type
		case "subject":
			target = &e.Subject
		case "time":
			target = &when
		case "datacontenttype":
			target = &contentType
		case "traceparent":
			target = &e.Traceparent
		case "data":
			e.Data = value
			continue
		case "dataschema":
			continue
		case "data_base64":
			return Event{}, fmt.Errorf("%w: data_base64 is not supported, send data", ErrInvalid)
		default:
			if e.Extensions == nil {
				e.Extensions = make(map[string]json.RawMessage)
			}
			e.Extensions[name] = value
			continue
		}
		if err := json.Unmarshal(value, target); err != nil {
			return Event{}, fmt.Errorf("%w: attribute %s is not a string", ErrInvalid, name)
		}
	}
	switch {
	case specversion != "1.0":
		return Event{}, fmt.Errorf("%w: specversion must be \"1.0\"", ErrInvalid)
	case e.ForeignID == "" || e.Source == "" || e.Type == "":
		return Event{}, fmt.Errorf("%w: id, source and type are required", ErrInvalid)
	}
	if when != "" {
		t, err := time.Parse(time.RFC3339Nano, when)
		if err != nil {
			return Event{}, fmt.Errorf("%w: time is not RFC 3339", ErrInvalid)
		}
		e.Time = t
	}
	media, _, _ := strings.Cut(contentType, ";")
	if strings.HasPrefix(strings.TrimSpace(media), "text/") {
		var text string
		if err := json.Unmarshal(e.Data, &text); err != nil {
			return Event{}, fmt.Errorf("%w: data is not a string, though datacontenttype is text", ErrInvalid)
		}
		e.ContentType, e.Data = Text, []byte(text)
	}
	return e, e.Validate()
}
