package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"weir/stream/sse"
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
	// Name is the event's name on the wire in formats that have one, which is
	// how a page listens for it (addEventListener). Default: none, which a page
	// takes for "message". The names of control events are not allowed.
	Name string
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
	// ContentType is the media type of Data. JSON, and types that end in
	// "+json", are JSON values; all others are text. Default: JSON; what publishes by a
	// hub has Text where Data is no JSON.
	ContentType string
	// DataSchema is the CloudEvents dataschema; it may be empty.
	DataSchema string
	// Data is the payload: a JSON value, or text. Text of the type Text may be
	// any bytes; of other types it is UTF-8: binary data is not carried.
	Data []byte
	// Traceparent is the W3C trace context in which the event was created. It
	// travels inside the event, the same for every receiver.
	Traceparent string
	// Tracestate is the W3C tracestate that belongs to Traceparent; it may be
	// empty.
	Tracestate string
	// Origin says where and when the event was published. It travels through a
	// broker. Of it only the page is told, and only when. The hooks that observe the
	// stream set it.
	Origin Origin
	// Extensions are further CloudEvents attributes of the publisher, each a
	// JSON string, number or boolean.
	Extensions map[string]json.RawMessage

	// Tag belongs to the [Hooks] that observe the stream: a value set in
	// Publish or Receive comes back in Flush. It is never encoded.
	Tag any
}

// An Origin says where and when an event was published.
type Origin struct {
	Node      string
	Published time.Time
}

// Validate reports, wrapping ErrInvalid, why an event may not enter a log.
func (e *Event) Validate() error {
	if err := e.validateData(); err != nil {
		return err
	}
	for _, attr := range []struct{ name, value string }{
		{"type", e.Type}, {"source", e.Source}, {"id", e.ForeignID}, {"subject", e.Subject}, {"traceparent", e.Traceparent},
		{"tracestate", e.Tracestate}, {"origin", e.Origin.Node},
		{"dataschema", e.DataSchema}, {"name", e.Name},
	} {
		if len(attr.value) > 1024 {
			return fmt.Errorf("%w: attribute %s is longer than 1024 bytes", ErrInvalid, attr.name)
		}
		if !utf8.ValidString(attr.value) || strings.ContainsFunc(attr.value, isControl) {
			return fmt.Errorf("%w: attribute %s has control characters or is not UTF-8", ErrInvalid, attr.name)
		}
	}
	if slices.Contains(ControlEvents, strings.TrimSpace(e.Name)) { // some clients trim it
		return fmt.Errorf("%w: the name %s is kept for the server's own messages", ErrInvalid, e.Name)
	}
	if year := e.Time.UTC().Year(); !e.Time.IsZero() && (year < 0 || year > 9999) {
		return fmt.Errorf("%w: the time cannot be written in RFC 3339", ErrInvalid)
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

func (e *Event) validateData() error {
	switch {
	case e.ContentType == "" || e.ContentType == JSON:
	case e.ContentType == Text:
		return nil
	case len(e.ContentType) > 256:
		return fmt.Errorf("%w: the content type is longer than 256 bytes", ErrInvalid)
	default:
		media, _, err := mime.ParseMediaType(e.ContentType)
		if err != nil || !strings.Contains(media, "/") || strings.ContainsFunc(e.ContentType, notASCII) {
			return fmt.Errorf("%w: content type %.64q is no media type", ErrInvalid, e.ContentType)
		}
	}
	switch {
	case e.IsJSON() && !json.Valid(e.Data):
		return fmt.Errorf("%w: data is not well-formed JSON", ErrInvalid)
	case !e.IsJSON() && !utf8.Valid(e.Data):
		return fmt.Errorf("%w: data of type %.64q is not UTF-8: binary data is not carried", ErrInvalid, e.ContentType)
	}
	return nil
}

func notASCII(r rune) bool { return r < 0x20 || r >= 0x7f }

// IsJSON reports whether Data is a JSON value, by the content type.
func (e *Event) IsJSON() bool {
	if e.ContentType == "" || e.ContentType == JSON {
		return true
	}
	if e.ContentType == Text {
		return false
	}
	media, _, _ := strings.Cut(e.ContentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == JSON || strings.HasSuffix(media, "+json")
}

// ControlEvents are the names of the messages that a server sends beside events.
// "error" and "open" are not sent, but a browser would take them for its own.
var ControlEvents = []string{sse.EventConnected, sse.EventGap, sse.EventStreamError, sse.EventPing, sse.EventClose, "error", "open"}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// reserved are the members of a CloudEvent that are fields of Event.
var reserved = []string{
	"specversion", "id", "source", "type", "subject", "time",
	"datacontenttype", "dataschema", "data", "data_base64", "traceparent", "tracestate",
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
