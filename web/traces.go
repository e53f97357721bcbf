package web

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weir/stream"
	"weir/telemetry/journey"
	"weir/web/rights"
)

// Traces tells of the last events: a *journey.Store.
type Traces interface {
	Journey(q journey.Query) (journey.Journey, error)
	Recent(q journey.ListQuery) []journey.Summary
	Slowest(q journey.ListQuery) []journey.Summary
	Held() (traces, bytes int, since time.Time)
	HeldOf(may func(topic, subject string) bool) (traces int)
}

// defaultTraces is how many events GET /traces tells of.
const defaultTraces = 50

// Values of ?sort=.
const (
	sortNewest  = "newest"
	sortSlowest = "slowest"
)

// A tracesHandler serves GET /traces and GET /traces/{trace_id}. A browser that
// navigates there gets the page, which asks for the fragment.
type tracesHandler struct {
	traces    Traces
	gate      *gate
	streams   *stream.Handler // whose node answers
	page      http.Handler
	templates *Templates
	jaegerUI  func() string
	logger    *slog.Logger
}

// list is GET /traces.
func (t *tracesHandler) list(w http.ResponseWriter, r *http.Request, who *visitor) {
	form, answered := t.form(w, r, who)
	if answered {
		return
	}
	list, refusal := t.asked(r, who)
	if refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	if form == formJSON {
		writeJSON(w, http.StatusOK, list)
		return
	}
	writeHTML(w, r, t.logger, http.StatusOK, func(b *bytes.Buffer) error { return t.templates.Traces(b, list) })
}

// form returns in which form a request about traces is to be answered. It
// answers the request itself if a browser navigates, by the page, or if the visitor
// has no right.
func (t *tracesHandler) form(w http.ResponseWriter, r *http.Request, who *visitor) (form int, answered bool) {
	form = formOf(w, r)
	if form == formPage {
		t.page.ServeHTTP(w, r)
		return form, true
	}
	return form, who.turnedAway(w, r)
}

// asked returns the list that a request asks for.
func (t *tracesHandler) asked(r *http.Request, who *visitor) (TraceList, *stream.Refusal) {
	query := r.URL.Query()
	q := journey.ListQuery{Topic: query.Get("topic"), Limit: defaultTraces}
	if text := query.Get("min"); text != "" {
		least, err := time.ParseDuration(text)
		if err != nil || least < 0 {
			return TraceList{}, problem(http.StatusBadRequest, rejectMin, "min is the least time that an event took, such as min=50ms or min=1.5s.")
		}
		q.Min = least
	}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > journey.MaxList {
			return TraceList{}, problem(http.StatusBadRequest, rejectLimit, fmt.Sprintf("limit is a number from 1 to %d.", journey.MaxList))
		}
		q.Limit = n
	}
	list := TraceList{Topics: t.gate.readable(who.Holder), Topic: q.Topic, Sort: cmp.Or(query.Get("sort"), sortNewest), MinMS: millis(q.Min), Limit: q.Limit, Node: t.streams.Node}
	list.Held, _, list.Since = t.traces.Held()
	if !who.MayAll(rights.Subscribe) {
		q.May = func(topic, subject string) bool { return who.MaySubject(rights.Subscribe, topic, subject) }
		list.Held = t.traces.HeldOf(q.May)
	}
	switch list.Sort {
	case sortNewest:
		list.Traces = t.lines(t.traces.Recent(q))
	case sortSlowest:
		list.Traces = t.lines(t.traces.Slowest(q))
	default:
		return TraceList{}, problem(http.StatusBadRequest, rejectSort, "sort is newest or slowest.")
	}
	return list, nil
}

func (t *tracesHandler) lines(events []journey.Summary) []TraceLine {
	jaeger := t.jaegerUI()
	lines := make([]TraceLine, 0, len(events))
	for _, e := range events {
		id := e.Ref.TraceID()
		line := TraceLine{
			TraceID: id, EventID: e.ID, Topic: e.Topic, Type: e.Type, Subject: e.Subject, Node: e.Node, Time: e.Start.UTC(),
			TotalMS: totalMS(e.Start, e.Total), OverMS: max(millis(e.Over), totalMS(e.Start, e.Total)), Last: string(e.Last), Awaited: e.Awaited, Part: partOf(e.Journey), Connection: e.Connection, Readers: e.Readers, Later: e.Later, Among: among(e.Journey), AmongShort: amongShort(e.Journey), Rows: journeyRows(e.Journey),
			URL: "/traces/" + id + "?" + url.Values{"event": {e.ID}}.Encode(), JaegerURL: jaegerTrace(jaeger, id),
		}
		lines = append(lines, line)
	}
	return lines
}

var traceIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// maxMine is how many further connections of a reader are heard of.
const maxMine = 32

// journey is GET /traces/{trace_id}. ?event= chooses where a trace has several
// events, and ?connection= is the reader's own: the answer then tells of nobody
// else. ?mine=, as often as need be, are connections that the same reader had besides:
// they are not told of as other readers. The page shows every answer in its panel, so that also "there is none" is
// a fragment.
func (t *tracesHandler) journey(w http.ResponseWriter, r *http.Request, who *visitor) {
	id := r.PathValue("trace_id")
	if !traceIDForm.MatchString(id) {
		WriteProblem(w, r, problem(http.StatusBadRequest, rejectTraceID, "A trace ID is 32 lower-case hexadecimal digits."))
		return
	}
	form, answered := t.form(w, r, who)
	if answered {
		return
	}
	query := r.URL.Query()
	told, err := t.traces.Journey(journey.Query{
		TraceID: id, EventID: query.Get("event"), Connection: query.Get("connection"), Same: query["mine"][:min(len(query["mine"]), maxMine)],
	})
	if err == nil && !who.MaySubject(rights.Subscribe, told.Topic, told.Subject) {
		told, err = journey.Journey{}, journey.ErrNotHeld
	}
	j := journeyOf(told, err)
	j.TraceID, j.JaegerURL = id, jaegerTrace(t.jaegerUI(), id)
	status := http.StatusOK
	if j.Missing != "" {
		status = http.StatusNotFound
	}
	if form == formJSON {
		writeJSON(w, status, j)
		return
	}
	writeHTML(w, r, t.logger, status, func(b *bytes.Buffer) error { return t.templates.Journey(b, j) })
}

// Forms of an answer.
const (
	formFragment = iota // HTML for the page, which puts it where it belongs
	formPage            // a whole page, for a browser that navigates
	formJSON
)

// formOf says in which form an answer is wanted, and that it depends on that.
func formOf(w http.ResponseWriter, r *http.Request) int {
	w.Header().Set("Vary", "Accept, HX-Request, Sec-Fetch-Mode")
	accept := r.Header.Get("Accept")
	html := strings.Contains(accept, "text/html")
	switch {
	case strings.Contains(accept, "application/json") && !html:
		return formJSON
	case r.Header.Get("HX-Request") != "":
		return formFragment
	case r.Header.Get("Sec-Fetch-Mode") == "navigate", html && r.Header.Get("Sec-Fetch-Mode") == "":
		return formPage
	default:
		return formFragment
	}
}

// jaegerTrace returns the address of a trace in Jaeger, or "".
func jaegerTrace(ui, id string) string {
	if ui == "" {
		return ""
	}
	link, err := url.JoinPath(ui, "trace", id)
	if err != nil {
		return ""
	}
	return link
}
