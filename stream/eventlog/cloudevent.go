package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
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
	if e.ContentType != "" && e.ContentType != JSON {
		dst = append(dst, `,"datacontenttype":`...)
		dst = appendJSONString(dst, e.ContentType)
	}
	dst = append(dst, `,"data":`...)
	if !e.IsJSON() {
		dst = appendJSONString(dst, string(e.Data))
		return append(dst, '}'), nil
	}
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
// refuses, wrapping ErrInvalid, an object that lacks a required attribute, and
// data that an event stream cannot carry because it is not text. An attribute
// that is null is absent.
func ParseCloudEvent(b []byte) (Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var e Event
	var specversion, when string
	var data, base64 json.RawMessage
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
			target = &e.ContentType
		case "traceparent":
			target = &e.Traceparent
		case "tracestate":
			target = &e.Tracestate
		case "data":
			data = value
			continue
		case "data_base64":
			base64 = value
			continue
		case "dataschema":
			target = &e.DataSchema
		default:
			if isNull(value) {
				continue
			}
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
	if err := e.setData(data, base64); err != nil {
		return Event{}, err
	}
	return e, e.Validate()
}

// setData takes the data of a CloudEvent in JSON: a JSON value, or where the
// content type is none of JSON's a string, or base64 of either.
func (e *Event) setData(data, encoded json.RawMessage) error {
	if e.ContentType == "" {
		e.ContentType = JSON
	}
	switch media, params, err := mime.ParseMediaType(e.ContentType); {
	case err == nil && media == Text && plainText(params): // as it always was
		e.ContentType = Text
	case err == nil && media == JSON && plainText(params):
		e.ContentType = JSON
	}
	switch {
	case len(encoded) > 0 && !isNull(encoded):
		if len(data) > 0 && !isNull(data) {
			return fmt.Errorf("%w: data and data_base64 exclude each other", ErrInvalid)
		}
		if err := json.Unmarshal(encoded, &e.Data); err != nil {
			return fmt.Errorf("%w: data_base64 is not base64", ErrInvalid)
		}
		if !utf8.Valid(e.Data) {
			return fmt.Errorf("%w: binary data is not carried", ErrInvalid)
		}
	case e.IsJSON():
		if e.Data = data; len(data) == 0 {
			e.Data = []byte("null")
		}
	default:
		var text string
		if len(data) > 0 && json.Unmarshal(data, &text) != nil {
			return fmt.Errorf("%w: data is not a string, though datacontenttype is %.64q", ErrInvalid, e.ContentType)
		}
		e.Data = []byte(text)
	}
	return nil
}

// plainText reports whether the parameters of a media type add nothing.
func plainText(params map[string]string) bool {
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }
