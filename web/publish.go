package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/web/rights"
)

// publishPatience is how long a publisher waits for its events to be stored.
const publishPatience = 15 * time.Second

const publishingIsOff = "Publishing is off. Start the server with -publish-token TOKEN (or WEIR_PUBLISH_TOKEN) to turn it on."

// A publishHandler serves POST /publish, and what is posted to a topic's address.
type publishHandler struct {
	hub      *stream.Hub
	gate     *gate
	requests *throttle
	maxBody  int64 // bytes
	// observed returns the context of a request whose publisher has shown a right;
	// may be nil.
	observed func(r *http.Request) context.Context
	away     *turnedAway
	log      *digest
}

// ServeHTTP puts what a request carries into a topic: all of it, or none. PUT means
// what POST means: some programs send a file only so.
func (p *publishHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	topic := namedTopic(r)
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		w.Header().Set("Allow", "POST, PUT")
		p.away.answer(w, r, problem(http.StatusMethodNotAllowed, rejectMethod, "Events are published with POST or PUT."))
		return
	}
	who, refusal := p.admit(r, topic)
	if refusal != nil {
		p.away.answer(w, r, refusal)
		return
	}
	if topics := p.hub.Topics(); topic == "" && len(topics) == 1 {
		if !who.May(rights.Publish, topics[0]) { // and may not know of it
			p.away.answer(w, r, problem(http.StatusForbidden, rights.ReasonTopicToken, "The token is not valid for the topic that the server would choose. Say which: ?topic=NAME."))
			return
		}
		topic = topics[0]
	}
	if topic == "" {
		p.away.answer(w, r, problem(http.StatusBadRequest, rejectTopic, "Say where to publish: ?topic=NAME."+p.gate.names(who, rights.Publish)))
		return
	}
	publication, refusal := readPublication(w, r, p.maxBody)
	if refusal == nil { // once more: the right may have ended while the body came
		if who, refusal = p.gate.publisher(r, topic); refusal == nil {
			refusal = mayPublish(who, topic, publication)
		}
	}
	if refusal != nil {
		p.away.answer(w, r, refusal)
		return
	}
	ctx, cancel := context.WithTimeout(p.traced(r, publication), publishPatience)
	defer cancel()
	if err := p.hub.Submit(ctx, topic, publication); err != nil {
		p.away.answer(w, r, p.refusal(err, topic, who))
		return
	}
	writeBody(w, appendPublished(make([]byte, 0, 64), publication))
}

// traced returns the context in which to publish. Whoever may publish may also say
// to which trace the events belong. Where nobody observes, the events carry that on.
// With Play nobody has shown a right.
func (p *publishHandler) traced(r *http.Request, publication *stream.Publication) context.Context {
	if p.gate.play {
		return r.Context()
	}
	if p.observed != nil {
		return p.observed(r)
	}
	if parent := r.Header.Get("Traceparent"); traceparentForm.MatchString(parent) {
		for _, e := range publication.Events {
			if e.Traceparent == "" {
				e.Traceparent, e.Tracestate = parent, r.Header.Get("Tracestate")
			}
		}
	}
	return r.Context()
}

// admit returns who publishes.
func (p *publishHandler) admit(r *http.Request, topic string) (*rights.Holder, *stream.Refusal) {
	if p.gate.publishesNothing() {
		return nil, problem(http.StatusForbidden, rejectPublishOff, publishingIsOff)
	}
	if refusal := p.requests.refuse(r); refusal != nil {
		return nil, refusal
	}
	return p.gate.publisher(r, topic)
}

// refusal says why the hub did not take what its holder published to a topic.
func (p *publishHandler) refusal(err error, topic string, holder *rights.Holder) *stream.Refusal {
	switch {
	case errors.Is(err, stream.ErrNoTopic):
		if bad := eventlog.CheckTopic(topic); bad != nil {
			return noSuchName(bad)
		}
		return problem(http.StatusNotFound, rejectTopic, "There is no such topic."+p.gate.names(holder, rights.Publish))
	case errors.Is(err, stream.ErrInvalid):
		return problem(http.StatusBadRequest, rejectEvent, "The event is refused: "+err.Error()+".")
	case errors.Is(err, stream.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, rejectHistory, "Nothing of this is published: "+err.Error()+".")
	case errors.Is(err, stream.ErrTooMany):
		return problemLater(http.StatusTooManyRequests, rejectMaxTopics, "There are as many topics of this kind as there may be. Try again later.", 10*time.Second)
	case errors.Is(err, stream.ErrClosed):
		return problem(http.StatusGone, rejectEnded, "This topic has ended; it takes no more events.")
	case errors.Is(err, stream.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		p.log.write(slog.LevelWarn, "publish failed", "", slog.Any("error", err))
		return problemLater(http.StatusServiceUnavailable, rejectBroker, "The event is not acknowledged: the server cannot store it now, or does not know whether it did. Try again in a moment.", 2*time.Second)
	default:
		p.log.write(slog.LevelError, "publish failed", "", slog.Any("error", err))
		return problem(http.StatusInternalServerError, rejectInternal, "The server could not publish the event; its log says why.")
	}
}

// readPublication reads the body, and what the query says of its events.
func readPublication(w http.ResponseWriter, r *http.Request, maxBody int64) (*stream.Publication, *stream.Refusal) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, rejectQuery, "The query of the address is malformed.")
	}
	for _, name := range []string{"topic", "subject", "name", "close"} {
		if len(query[name]) > 1 {
			return nil, problem(http.StatusBadRequest, rejectQuery, "The parameter "+name+" may stand once.")
		}
	}
	p := &stream.Publication{}
	switch query.Get("close") {
	case "", "0", "false":
	case "1", "true":
		p.End = "closed"
	default:
		return nil, problem(http.StatusBadRequest, rejectClose, "close is 1, which ends the topic behind these events.")
	}
	// Not pieces of the request, which would be kept with the events.
	subject, name := strings.Clone(query.Get("subject")), strings.Clone(query.Get("name"))
	if subject != "" {
		if err := eventlog.CheckSubject(subject); err != nil {
			return nil, problem(http.StatusBadRequest, rejectSubject, "The subject is refused: "+err.Error()+".")
		}
	}
	events, refusal := readEvents(w, r, maxBody, p.End != "")
	if refusal != nil {
		return nil, refusal
	}
	for i := range events {
		e := &events[i]
		if e.Subject == "" {
			e.Subject = subject
		}
		if e.Name == "" {
			e.Name = name
		}
		p.Events = append(p.Events, e)
	}
	return p, nil
}

// mayPublish refuses events about subjects that the publisher has no right to.
func mayPublish(who *rights.Holder, topic string, p *stream.Publication) *stream.Refusal {
	refuse := func(what string) *stream.Refusal {
		return problem(http.StatusForbidden, rights.ReasonTopicToken, fmt.Sprintf("The token is not valid for %s of topic %.80q.", what, topic))
	}
	_, all := who.Subjects(rights.Publish, topic)
	if all {
		return nil
	}
	for _, e := range p.Events {
		if e.Subject == "" {
			return refuse("events without a subject")
		}
		if !who.MaySubject(rights.Publish, topic, e.Subject) {
			return refuse(fmt.Sprintf("subject %.80q", e.Subject))
		}
	}
	if p.End != "" {
		return refuse("the end")
	}
	return nil
}

// appendPublished appends the answer to who published: the IDs of the events. If
// the topic held every one of them already, duplicate is true; if it held some, their
// places in ids are in duplicates. If the topic has ended behind them, closed is true.
//
// Gain: reflection, and a status that is the default one, were half of what an
// answer cost ("weir bench" at 1,000 × 1,000/s, by its profile: 1.9 % of the CPU).
// Relies on: an ID being digits and a hyphen.
// Guarded by: TestAppendPublished.
func appendPublished(b []byte, p *stream.Publication) []byte {
	var duplicates []byte
	n := 0
	b = append(b, `{"ids":[`...)
	for i, e := range p.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(e.ID.AppendTo(append(b, '"')), '"')
		if i < len(p.Duplicate) && p.Duplicate[i] {
			if n++; n > 1 {
				duplicates = append(duplicates, ',')
			}
			duplicates = strconv.AppendInt(duplicates, int64(i), 10)
		}
	}
	b = append(b, ']')
	switch {
	case n > 0 && n == len(p.Events):
		b = append(b, `,"duplicate":true`...)
	case n > 0:
		b = append(append(append(b, `,"duplicates":[`...), duplicates...), ']')
	}
	if p.End != "" {
		b = append(b, `,"closed":true`...)
	}
	return append(b, "}\n"...)
}
