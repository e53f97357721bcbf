package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"weir/stream"
)

// maxPublishEvents is how many events one request may carry.
const maxPublishEvents = 10_000

// accepted are the content types that publish takes, for messages. Other types
// of JSON, XML and text are taken as they are: see decoderOf.
const accepted = "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json or text/plain"

// readEvents reads the body, of at most so many bytes, as its content type says. If
// the body is optional, an empty one has no events.
func readEvents(w http.ResponseWriter, r *http.Request, maxBody int64, optional bool) ([]stream.Event, *stream.Refusal) {
	if optional && r.ContentLength == 0 {
		return nil, nil
	}
	decode, refusal := decoderOf(r.Header)
	if refusal != nil {
		return nil, refusal
	}
	body, refusal := readBody(w, r, maxBody)
	if refusal != nil {
		return nil, refusal
	}
	if optional && len(body) == 0 {
		return nil, nil
	}
	events, err := decode(body)
	if err != nil {
		return nil, problem(http.StatusBadRequest, rejectEvent, "The event is refused: "+err.Error()+".")
	}
	return events, nil
}

// A decoder makes events of a body.
type decoder func(body []byte) ([]stream.Event, error)

func decoderOf(header http.Header) (decoder, *stream.Refusal) {
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem(http.StatusUnsupportedMediaType, rejectContentEncoding, "A compressed body is not supported.")
	}
	full := header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(full)
	if err != nil && full != "" {
		return nil, problem(http.StatusUnsupportedMediaType, rejectContentType, "Say with Content-Type what the body is: "+accepted+".")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return nil, problem(http.StatusUnsupportedMediaType, rejectContentType, fmt.Sprintf("The charset %.40q is not supported, only UTF-8 is.", charset))
	}
	switch media {
	case "application/cloudevents+json":
		return decodeCloudEvent, nil
	case "application/cloudevents-batch+json":
		return decodeCloudEvents, nil
	}
	if isBinaryCloudEvent(header) {
		return func(body []byte) ([]stream.Event, error) { return decodeBinaryCloudEvent(header, body) }, nil
	}
	switch {
	case media == stream.JSON:
		return decodeJSON, nil
	case media == "application/x-ndjson":
		return decodeNDJSON, nil
	case media == stream.Text:
		return decodeText, nil
	case media == "", media == "application/x-www-form-urlencoded":
		return decodeAny, nil // what curl -T and curl -d send
	case strings.HasPrefix(media, "text/"), strings.HasSuffix(media, "+json"), strings.HasSuffix(media, "/xml"), strings.HasSuffix(media, "+xml"):
		return func(body []byte) ([]stream.Event, error) {
			return []stream.Event{{ContentType: full, Data: body}}, nil
		}, nil
	}
	return nil, problem(http.StatusUnsupportedMediaType, rejectContentType, fmt.Sprintf("The content type %.80q is not supported. Send %s.", media, accepted))
}

// readBody reads the whole body, which is bounded in size and time.
func readBody(w http.ResponseWriter, r *http.Request, maxBody int64) ([]byte, *stream.Refusal) {
	tooLarge := func() *stream.Refusal {
		return problem(http.StatusRequestEntityTooLarge, rejectBodySize, fmt.Sprintf("The body is larger than %d bytes. Send fewer events at once.", maxBody))
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge() // it need not come at all
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, tooLarge()
	case err != nil:
		return nil, problem(http.StatusBadRequest, rejectBody, "The body did not arrive whole.")
	}
	return body, nil
}

func decodeJSON(body []byte) ([]stream.Event, error) {
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	return []stream.Event{{Data: compact(bytes.TrimSpace(body), cap(body))}}, nil
}

// compact returns data without what it is a piece of, so many bytes, where that is
// much more and would be kept with it.
func compact(data []byte, of int) []byte {
	if of > len(data)+len(data)/4+512 {
		return bytes.Clone(data)
	}
	return data
}

func decodeText(body []byte) ([]stream.Event, error) {
	return []stream.Event{{ContentType: stream.Text, Data: compact(body, cap(body))}}, nil
}

// decodeAny reads a body whose type is not told: as JSON if it is JSON, else as text.
func decodeAny(body []byte) ([]stream.Event, error) {
	if len(body) == 0 {
		return nil, errors.New("the body is empty")
	}
	if utf8.Valid(body) && json.Valid(body) {
		return decodeJSON(body)
	}
	return decodeText(body)
}

// decodeNDJSON reads one event a line. Empty lines are passed over.
func decodeNDJSON(body []byte) ([]stream.Event, error) {
	var events []stream.Event
	number := 0
	for line := range bytes.Lines(body) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := wellFormed(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if len(events) == maxPublishEvents {
			return nil, fmt.Errorf("line %d: a request carries at most %d events", number, maxPublishEvents)
		}
		events = append(events, stream.Event{Data: bytes.Clone(line)}) // not a piece of the body, which would be kept with it
	}
	if len(events) == 0 {
		return nil, errors.New("the body has no event")
	}
	return events, nil
}

// wellFormed says where a JSON text is wrong.
func wellFormed(b []byte) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return errors.New("the body is empty")
	}
	if !utf8.Valid(b) {
		return errors.New("the JSON is not UTF-8")
	}
	if json.Valid(b) {
		return nil
	}
	var v any
	err := json.Unmarshal(b, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("the JSON is malformed at byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("the JSON is malformed: %w", err)
}
