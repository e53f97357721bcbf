package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"weir/stream"
	"weir/stream/eventlog"
)

// The HTTP binding of CloudEvents 1.0 has three modes: one event in a body of
// its own format (structured), several of those (batch), and one whose
// attributes are headers while the body is its data (binary).

func decodeCloudEvent(body []byte) ([]stream.Event, error) {
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	e, err := eventlog.ParseCloudEvent(body)
	if err != nil {
		return nil, err
	}
	return []stream.Event{e}, nil
}

func decodeCloudEvents(body []byte) ([]stream.Event, error) {
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, errors.New("a batch is a JSON array of CloudEvents")
	}
	switch n := len(batch); {
	case n == 0:
		return nil, errors.New("the batch has no event")
	case n > maxPublishEvents:
		return nil, fmt.Errorf("a request carries at most %d events", maxPublishEvents)
	}
	events := make([]stream.Event, len(batch))
	for i, one := range batch {
		e, err := eventlog.ParseCloudEvent(one)
		if err != nil {
			return nil, fmt.Errorf("event %d of %d: %w", i+1, len(batch), err)
		}
		events[i] = e
	}
	return events, nil
}

// attributePrefix begins the headers that are attributes in binary mode.
const attributePrefix = "Ce-"

// isBinaryCloudEvent reports whether the headers are those of binary mode. One
// attribute is enough: an event whose others are missing is to be refused.
func isBinaryCloudEvent(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, attributePrefix) {
			return true
		}
	}
	return false
}

func decodeBinaryCloudEvent(header http.Header, body []byte) ([]stream.Event, error) {
	e := stream.Event{ContentType: header.Get("Content-Type"), Data: body}
	var specversion, when string
	for key, values := range header {
		name, is := strings.CutPrefix(key, attributePrefix)
		if !is {
			continue
		}
		name = strings.ToLower(name)
		if len(values) != 1 {
			return nil, fmt.Errorf("the header ce-%.40s is there %d times", name, len(values))
		}
		value, err := attribute(values[0])
		if err != nil {
			return nil, fmt.Errorf("the header ce-%.40s: %w", name, err)
		}
		switch name {
		case "specversion":
			specversion = value
		case "id":
			e.ForeignID = value
		case "source":
			e.Source = value
		case "type":
			e.Type = value
		case "subject":
			e.Subject = value
		case "dataschema":
			e.DataSchema = value
		case "traceparent":
			e.Traceparent = value
		case "tracestate":
			e.Tracestate = value
		case "time":
			when = value
		default:
			if e.Extensions == nil {
				e.Extensions = make(map[string]json.RawMessage)
			}
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			e.Extensions[name] = text
		}
	}
	switch {
	case specversion != "1.0":
		return nil, errors.New("the header ce-specversion must be 1.0")
	case e.ForeignID == "" || e.Source == "" || e.Type == "":
		return nil, errors.New("the headers ce-id, ce-source and ce-type are required")
	}
	if when != "" {
		t, err := time.Parse(time.RFC3339Nano, when)
		if err != nil {
			return nil, errors.New("the header ce-time is not RFC 3339")
		}
		e.Time = t
	}
	if err := settle(&e); err != nil {
		return nil, err
	}
	return []stream.Event{e}, e.Validate()
}

// settle gives data that says nothing of itself, or nothing new, its type.
func settle(e *stream.Event) error {
	if e.ContentType == "" {
		if len(e.Data) == 0 {
			e.Data = []byte("null")
			return nil
		}
		events, err := decodeAny(e.Data)
		if err == nil {
			e.ContentType, e.Data = events[0].ContentType, events[0].Data
		}
		return err
	}
	media, params, found := strings.Cut(strings.ToLower(e.ContentType), ";")
	plain := !found || strings.ReplaceAll(strings.TrimSpace(params), `"`, "") == "charset=utf-8"
	if media = strings.TrimSpace(media); plain && (media == stream.JSON || media == stream.Text) {
		e.ContentType = media
	}
	if e.IsJSON() {
		if len(e.Data) == 0 {
			e.Data = []byte("null")
		}
		return wellFormed(e.Data)
	}
	return nil
}

// attribute decodes the value of a header: what is not printable ASCII comes in
// percent-encoding of its UTF-8.
func attribute(value string) (string, error) {
	text, err := url.PathUnescape(value)
	if err != nil {
		text = value // a percent sign that a publisher did not encode
	}
	if !utf8.ValidString(text) {
		return "", errors.New("it is not UTF-8")
	}
	// A value may stand in double quotes.
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text[1 : len(text)-1])
	}
	return text, nil
}
