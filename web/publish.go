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
	"time"
	"unicode/utf8"

	"weir/stream"
	"weir/web/rights"
)

// maxPublishEvents is how many events one request may carry.
const maxPublishEvents = 10_000

// publish is POST /publish.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		WriteProblem(w, r, problem(http.StatusMethodNotAllowed, "method", "Events are published with POST."))
		return
	}
	if !s.opts.Access.Rights.Needed(rights.Publish) {
		WriteProblem(w, r, problem(http.StatusForbidden, "publish_off", "Publishing is off. Start the server with -publish-token TOKEN (or WEIR_PUBLISH_TOKEN) to turn it on."))
		return
	}
	// Before the token is looked at: the rate bounds guessing too.
	if wait := s.publishRate.Take(s.client(r)); wait > 0 {
		WriteProblem(w, r, problemLater(http.StatusTooManyRequests, "publish_rate",
			"Too many requests to publish came from your address. Send several events in one request, as application/x-ndjson.", wait))
		return
	}
	topic := r.URL.Query().Get("topic")
	if topic == "" {
		if topics := s.opts.Hub.Topics(); len(topics) == 1 {
			topic = topics[0]
		}
	}
	holder, denial := s.opts.Access.Rights.Holder(r, rights.Publish, topic)
	if denial != nil {
		WriteProblem(w, r, denied(denial))
		return
	}
	if topic == "" {
		WriteProblem(w, r, problem(http.StatusBadRequest, "topic", "Say where to publish: ?topic=NAME."+s.names(holder, rights.Publish)))
		return
	}
	events, refusal := s.readEvents(w, r)
	if refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	// Whoever may publish may also say to which trace the events belong.
	if parent := r.Header.Get("Traceparent"); traceparentForm.MatchString(parent) {
		for i := range events {
			if events[i].Traceparent == "" {
				events[i].Traceparent = parent
			}
		}
	}
	ids, err := s.opts.Hub.Publish(r.Context(), topic, events...)
	if err != nil {
		WriteProblem(w, r, s.publishProblem(err, holder))
		return
	}
	answer := struct {
		IDs []string `json:"ids"`
	}{make([]string, len(ids))}
	for i, id := range ids {
		answer.IDs[i] = id.String()
	}
	writeJSON(w, http.StatusOK, answer)
}

// names lists the topics that the holder may know of, for a message.
func (s *Server) names(holder *rights.Holder, action rights.Action) string {
	var names []string
	for _, topic := range s.opts.Hub.Topics() {
		if holder.May(action, topic) {
			names = append(names, topic)
		}
	}
	const most = 20
	switch n := len(names); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf(" Topics are: %s, and %d more.", strings.Join(names[:most], ", "), n-most)
	}
	return " Topics are: " + strings.Join(names, ", ") + "."
}

func (s *Server) publishProblem(err error, holder *rights.Holder) *stream.Refusal {
	switch {
	case errors.Is(err, stream.ErrNoTopic):
		return problem(http.StatusNotFound, "topic", "There is no such topic."+s.names(holder, rights.Publish))
	case errors.Is(err, stream.ErrInvalid):
		return problem(http.StatusBadRequest, "event", "The event is refused: "+err.Error()+".")
	case errors.Is(err, stream.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "history", "Nothing of this is published: "+err.Error()+".")
	case errors.Is(err, stream.ErrTooMany):
		return problemLater(http.StatusTooManyRequests, stream.RejectTopics, "There are as many topics of this kind as there may be. Try again later.", 10*time.Second)
	case errors.Is(err, stream.ErrClosed):
		return problem(http.StatusGone, "ended", "This topic has ended; it takes no more events.")
	case errors.Is(err, stream.ErrUnavailable):
		s.opts.Logger.Warn("publish failed", "error", err)
		return problemLater(http.StatusServiceUnavailable, "broker", "The event is not acknowledged: the server cannot store it now, or does not know whether it did. Try again in a moment.", 2*time.Second)
	default:
		s.opts.Logger.Error("publish failed", "error", err)
		return problem(http.StatusInternalServerError, "internal", "The server could not publish the event; its log says why.")
	}
}

// accepted are the content types that publish takes.
const accepted = "application/json, application/x-ndjson, application/cloudevents+json or text/plain"

// readEvents reads the body as its content type says.
func (s *Server) readEvents(w http.ResponseWriter, r *http.Request) ([]stream.Event, *stream.Refusal) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, problem(http.StatusUnsupportedMediaType, "content_type", "Say with Content-Type what the body is: "+accepted+".")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return nil, problem(http.StatusUnsupportedMediaType, "content_type", fmt.Sprintf("The charset %.40q is not supported, only UTF-8 is.", charset))
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem(http.StatusUnsupportedMediaType, "content_encoding", "A compressed body is not supported.")
	}
	var read func([]byte) ([]stream.Event, error)
	switch media {
	case "application/json":
		read = readJSONEvent
	case "application/x-ndjson":
		read = readNDJSON
	case "application/cloudevents+json":
		read = readCloudEvent
	case "text/plain":
		read = readText
	default:
		return nil, problem(http.StatusUnsupportedMediaType, "content_type", fmt.Sprintf("The content type %.80q is not supported. Send %s.", media, accepted))
	}
	tooLarge := func() *stream.Refusal {
		return problem(http.StatusRequestEntityTooLarge, "body_size", fmt.Sprintf("The body is larger than %d bytes. Send fewer events at once.", s.opts.Limits.MaxBody))
	}
	if r.ContentLength > s.opts.Limits.MaxBody {
		return nil, tooLarge() // it need not come at all
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opts.Limits.MaxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, tooLarge()
	case err != nil:
		return nil, problem(http.StatusBadRequest, "body", "The body did not arrive whole.")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // storing may take longer
	events, err := read(body)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "event", "The event is refused: "+err.Error()+".")
	}
	return events, nil
}

func readJSONEvent(body []byte) ([]stream.Event, error) {
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	return []stream.Event{{Data: bytes.TrimSpace(body)}}, nil
}

func readCloudEvent(body []byte) ([]stream.Event, error) {
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	e, err := stream.ParseCloudEvent(body)
	if err != nil {
		return nil, err
	}
	return []stream.Event{e}, nil
}

func readText(body []byte) ([]stream.Event, error) {
	return []stream.Event{{ContentType: stream.Text, Data: body}}, nil
}

// readNDJSON reads one event a line. Empty lines are passed over.
func readNDJSON(body []byte) ([]stream.Event, error) {
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
		events = append(events, stream.Event{Data: line})
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
