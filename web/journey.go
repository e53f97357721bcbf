package web

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

// A Journey is the way of one event from source to screen, as spans.
type Journey struct {
	TraceID   string
	JaegerURL string // of this trace; empty: no link
	Missing   string // why there is nothing to show; empty: there is
	Topic     string
	EventID   string
	TotalMS   float64
	Rows      []JourneyRow
}

// A JourneyRow is one bar of the waterfall.
type JourneyRow struct {
	Name       string
	Service    string
	StartMS    float64 // since the start of the journey
	DurationMS float64
	SharePct   float64 // of TotalMS, 0 to 100
	Kind       string  // of the span: producer, consumer, internal, …
	Gap        bool    // time between spans, such as the network
}

// Journey writes the fragment that fills the journey panel.
func (t *Templates) Journey(w io.Writer, j Journey) error { return t.render(w, "journey.html", j) }

// minBar is the least width of a bar, in percent: a span too short to see is
// drawn as a tick.
const minBar = 1.5

// BarX and BarWidth place the row in the waterfall, in percent. They are
// attributes of SVG: the content security policy blocks style="…".
func (j Journey) BarX(r JourneyRow) string {
	return percent(min(j.share(r.StartMS), 100-minBar))
}

// BarWidth is the width that goes with [Journey.BarX].
func (j Journey) BarWidth(r JourneyRow) string {
	x := min(j.share(r.StartMS), 100-minBar)
	return percent(min(max(j.share(r.DurationMS), minBar), 100-x))
}

func (j Journey) share(ms float64) float64 {
	if !(j.TotalMS > 0) || math.IsNaN(ms) {
		return 0
	}
	return max(0, min(100, 100*ms/j.TotalMS))
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

// End names where the journey ends, as far as is known.
func (j Journey) End() string {
	for _, r := range j.Rows {
		if r.Kind == "consumer" {
			return "screen"
		}
	}
	return "delivery"
}

var traceIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// journey is GET /traces/{trace_id}. The page shows every answer in its panel,
// so that also "there is none" is a fragment.
func (s *Server) journey(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("trace_id")
	if !traceIDForm.MatchString(id) {
		WriteProblem(w, r, problem(http.StatusBadRequest, "trace_id", "A trace ID is 32 lower-case hexadecimal digits."))
		return
	}
	query := r.URL.Query()
	j := s.opts.Observe.Journey(id, query.Get("event"), query.Get("connection"))
	j.TraceID = id
	if ui := s.opts.Page.JaegerUI(); ui != "" {
		if link, err := url.JoinPath(ui, "trace", id); err == nil {
			j.JaegerURL = link
		}
	}
	status := http.StatusOK
	if j.Missing != "" {
		status = http.StatusNotFound
	}
	s.html(w, r, status, func(b *bytes.Buffer) error { return s.opts.Page.Templates.Journey(b, j) })
}
