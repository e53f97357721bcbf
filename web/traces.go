package web

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
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

// A TraceList is what traces.html shows, and what GET /traces answers as JSON.
type TraceList struct {
	// Topics are those that there are to choose from.
	Topics []string `json:"topics"`
	// Topic, Sort, MinMS and Limit are what was asked for. Sort is newest or
	// slowest.
	Topic string  `json:"topic,omitempty"`
	Sort  string  `json:"sort"`
	MinMS float64 `json:"min_ms,omitempty"`
	Limit int     `json:"limit"`
	// Node is the server that answers. Held is how many traces it holds of which
	// who asks may know, and Since what time it has them.
	Node   string      `json:"node"`
	Held   int         `json:"held"`
	Since  time.Time   `json:"since"`
	Traces []TraceLine `json:"traces"`
}

// A TraceLine is one event in a list.
type TraceLine struct {
	TraceID string    `json:"trace_id"`
	EventID string    `json:"event_id"`
	Topic   string    `json:"topic"`
	Type    string    `json:"type,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Node    string    `json:"node,omitempty"` // that published it
	Time    time.Time `json:"time"`           // of its publishing
	// TotalMS is the time from publishing to the last known step, which Last
	// names: send, receive, deliver or process (on screen).
	TotalMS float64 `json:"total_ms"`
	Last    string  `json:"last"`
	// Readers is how many readers are known, of however many there were.
	Readers int `json:"readers"`
	// Rows are the steps of the reader that was last, for a small waterfall.
	Rows []JourneyRow `json:"steps"`
	// URL is the journey's address. JaegerURL leads to the trace in Jaeger; ""
	// when there is none.
	URL       string `json:"url"`
	JaegerURL string `json:"jaeger_url,omitempty"`
}

// BarX and BarWidth place a row in the line's waterfall: see [Journey.BarX].
func (l TraceLine) BarX(r JourneyRow) string { return Journey{TotalMS: l.TotalMS}.BarX(r) }

// BarWidth is the width that goes with [TraceLine.BarX].
func (l TraceLine) BarWidth(r JourneyRow) string { return Journey{TotalMS: l.TotalMS}.BarWidth(r) }

// Share is how long the line's waterfall is beside that of the longest: by the
// logarithm, since an event may take a thousand times as long as the next.
func (l TraceLine) Share(longestMS float64) string {
	const least, floorMS = 0.08, 0.01
	share := 1.0
	if longestMS > floorMS {
		share = math.Log(max(l.TotalMS, floorMS)/floorMS) / math.Log(longestMS/floorMS)
	}
	return percent(100 * (least + (1-least)*share))
}

// LongestMS is the longest time in the list.
func (l TraceList) LongestMS() (longest float64) {
	for _, line := range l.Traces {
		longest = max(longest, line.TotalMS)
	}
	return longest
}

// Epoch is Time in milliseconds.
func (l TraceLine) Epoch() int64 { return l.Time.UnixMilli() }

// Traces writes the fragment of the list.
func (t *Templates) Traces(w io.Writer, list TraceList) error {
	return t.render(w, "traces.html", list)
}

// traces is GET /traces. A browser that navigates there gets the page, which asks
// for the fragment.
func (s *Server) traces(w http.ResponseWriter, r *http.Request, who *viewer) {
	form, answered := s.traceForm(w, r, who)
	if answered {
		return
	}
	list, refusal := s.traceList(r, who)
	if refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	if form == formJSON {
		writeJSON(w, http.StatusOK, list)
		return
	}
	s.html(w, r, http.StatusOK, func(b *bytes.Buffer) error { return s.opts.Page.Templates.Traces(b, list) })
}

// traceForm returns in which form a request about traces is to be answered. It
// answers the request itself if a browser navigates, by the page, or if the viewer
// has no right.
func (s *Server) traceForm(w http.ResponseWriter, r *http.Request, who *viewer) (form int, answered bool) {
	form = formOf(w, r)
	if form == formPage {
		s.page(w, r)
		return form, true
	}
	return form, who.turnedAway(w, r)
}

func (s *Server) traceList(r *http.Request, who *viewer) (TraceList, *stream.Refusal) {
	query := r.URL.Query()
	q := journey.ListQuery{Topic: query.Get("topic"), Limit: defaultTraces}
	if text := query.Get("min"); text != "" {
		least, err := time.ParseDuration(text)
		if err != nil || least < 0 {
			return TraceList{}, problem(http.StatusBadRequest, "min", "min is the least time that an event took, such as min=50ms or min=1.5s.")
		}
		q.Min = least
	}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > journey.MaxList {
			return TraceList{}, problem(http.StatusBadRequest, "limit", fmt.Sprintf("limit is a number from 1 to %d.", journey.MaxList))
		}
		q.Limit = n
	}
	list := TraceList{Topics: s.readable(who.Holder), Topic: q.Topic, Sort: cmp.Or(query.Get("sort"), sortNewest), MinMS: millis(q.Min), Limit: q.Limit, Node: s.opts.Stream.Node}
	list.Held, _, list.Since = s.opts.Observe.Traces.Held()
	if !who.MayAll(rights.Subscribe) {
		q.May = func(topic, subject string) bool { return who.MaySubject(rights.Subscribe, topic, subject) }
		list.Held = s.opts.Observe.Traces.HeldOf(q.May)
	}
	switch list.Sort {
	case sortNewest:
		list.Traces = s.traceLines(s.opts.Observe.Traces.Recent(q))
	case sortSlowest:
		list.Traces = s.traceLines(s.opts.Observe.Traces.Slowest(q))
	default:
		return TraceList{}, problem(http.StatusBadRequest, "sort", "sort is newest or slowest.")
	}
	return list, nil
}

func (s *Server) traceLines(events []journey.Summary) []TraceLine {
	jaeger := s.opts.Page.JaegerUI()
	lines := make([]TraceLine, 0, len(events))
	for _, e := range events {
		id := e.Ref.TraceID()
		line := TraceLine{
			TraceID: id, EventID: e.ID, Topic: e.Topic, Type: e.Type, Subject: e.Subject, Node: e.Node, Time: e.Start.UTC(),
			TotalMS: millis(e.Total), Last: string(e.Last), Readers: e.Readers, Rows: journeyRows(e.Topic, e.Start, e.Total, e.Steps),
			URL: "/traces/" + id + "?" + url.Values{"event": {e.ID}}.Encode(), JaegerURL: jaegerTrace(jaeger, id),
		}
		lines = append(lines, line)
	}
	return lines
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

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
