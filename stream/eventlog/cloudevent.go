package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// AppendCloudEvent appends the event as one line of CloudEvents 1.0 JSON, with
// the trace context as the extensions traceparent and tracestate. The attribute datacontenttype
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
	if e.DataSchema != "" {
		dst = append(dst, `,"dataschema":`...)
		dst = appendJSONString(dst, e.DataSchema)
	}
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = append(dst, '"')
	if e.Traceparent != "" {
		dst = append(dst, `,"traceparent":`...)
		dst = appendJSONString(dst, e.Traceparent)
	}
	if e.Tracestate != "" {
		dst = append(dst, `,"tracestate":`...)
		dst = appendJSONString(dst, e.Tracestate)
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
		case "tracestate":
			target = &e.Tracestate
		case "data":
			e.Data = value
			continue
		case "dataschema":
			target = &e.DataSchema
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
