package web

import (
	"errors"
	"math"
	"strings"
	"time"

	"weir/telemetry/journey"
)

// A Journey is the way of one event from source to screen, as journey.html shows
// it and GET /traces/{trace_id} answers as JSON.
type Journey struct {
	TraceID   string `json:"trace_id"`
	JaegerURL string `json:"jaeger_url,omitempty"` // of this trace; empty: no link
	Missing   string `json:"missing,omitempty"`    // why there is nothing to show; empty: there is
	Topic     string `json:"topic,omitempty"`
	EventID   string `json:"event_id,omitempty"`
	Type      string `json:"type,omitempty"`
	Subject   string `json:"subject,omitempty"`
	// Node is where the event was published, and Time when its journey begins.
	Node string    `json:"node,omitempty"`
	Time time.Time `json:"time,omitzero"`
	// Connection is the reader whose journey it is, and Own says that the reader
	// is the one that was asked for. Others are further readers that are known.
	Connection string   `json:"connection,omitempty"`
	Own        bool     `json:"own"`
	Others     []string `json:"others,omitempty"`

	// TotalMS is the time until the last known step. Awaited says that this is not the
	// journey's end: the reader has a page that has not reported the event on its
	// screen. Part says in words what is not known; "" where the journey is whole.
	TotalMS float64      `json:"total_ms"`
	Awaited bool         `json:"awaited"`
	Part    string       `json:"-"`
	Rows    []JourneyRow `json:"steps"`
}

// minBar is the least width of a bar, in percent: a span too short to see is
// drawn as a tick.
const minBar = 1.5

// BarX and BarWidth place the row in the waterfall, in percent. They are
// attributes of SVG: the content security policy blocks style="…".
func (j Journey) BarX(r JourneyRow) string {
	x, _ := j.bar(r)
	return percent(x)
}

// BarWidth is the width that goes with [Journey.BarX].
func (j Journey) BarWidth(r JourneyRow) string {
	_, width := j.bar(r)
	return percent(width)
}

func (j Journey) bar(r JourneyRow) (x, width float64) {
	x = min(j.share(r.StartMS), 100-minBar)
	return x, min(max(j.share(r.DurationMS), minBar), 100-x)
}

func (j Journey) share(ms float64) float64 {
	if !(j.TotalMS > 0) || math.IsNaN(ms) {
		return 0
	}
	return max(0, min(100, 100*ms/j.TotalMS))
}

// End names where the journey ends, as far as is known.
func (j Journey) End() string {
	end := "the log"
	for _, r := range j.Rows {
		switch {
		case r.Service == "weir-browser":
			return "screen"
		case r.Step == string(journey.Deliver):
			end = "delivery"
		}
	}
	return end
}

// reportsWithin is how long a page takes to report at most, while it is in sight.
const reportsWithin = 10 * time.Second

// partOf says what is not known of a journey by its last step; "" where it is whole.
func partOf(last journey.StepKind, awaited bool, ended time.Time) string {
	switch {
	case last == journey.Process:
		return ""
	case awaited && time.Since(ended) < reportsWithin:
		return "sent; not reported on screen yet"
	case awaited:
		return "sent; not reported on screen"
	case last == journey.Deliver:
		return "sent to a reader that does not report"
	default:
		return "published; no reader known"
	}
}

// Ruler are the times at the lines of the waterfall: five, from its beginning to
// its end.
func (j Journey) Ruler() []string {
	marks := []string{"0"}
	for i := 1; i <= 4; i++ {
		marks = append(marks, formatMS(j.TotalMS*float64(i)/4))
	}
	return marks
}

// A JourneyRow is one bar of the waterfall.
type JourneyRow struct {
	// Name is the span's, such as "send sensor", or says what a gap is.
	Name string `json:"name"`
	// Step is one of event, send, broker, receive, waiting, deliver, network, busy,
	// process.
	Step       string  `json:"step"`
	Service    string  `json:"service,omitempty"` // weir, weir-browser; "" for a gap
	Node       string  `json:"node,omitempty"`
	StartMS    float64 `json:"start_ms"` // since the start of the journey
	DurationMS float64 `json:"duration_ms"`
	// SharePct is how much of the total the step takes until the next one begins, 0
	// to 100: shares add up to 100 at most, though steps overlap.
	SharePct float64 `json:"share_pct"`
	Kind     string  `json:"kind,omitempty"` // of the span: producer, consumer, internal; "" for a gap
	Gap      bool    `json:"gap"`            // time between spans, such as the network
	// Depth is how far the row stands in: 0 for the event itself, 1 for its steps.
	Depth int `json:"depth"`
	// Attrs tell more of the step.
	Attrs []journey.Fact `json:"attributes,omitempty"`
}

// Label is the name without the topic, which stands above the waterfall.
func (r JourneyRow) Label(topic string) string {
	if r.Depth == 0 {
		return r.Name
	}
	return strings.TrimSuffix(r.Name, " "+topic)
}

// journeyOf puts a journey in the page's words.
func journeyOf(j journey.Journey, err error) Journey {
	switch {
	case errors.Is(err, journey.ErrEvicted):
		return Journey{Missing: "This event is too long ago: only the last few are kept in memory. A collector keeps them all."}
	case err != nil:
		return Journey{Missing: "Nothing is known of this trace here: the event was not sampled, another node has it, it is too long ago, or the server was restarted since."}
	}
	v := Journey{
		Topic: j.Topic, EventID: j.ID, Type: j.Type, Subject: j.Subject, Node: j.Node, Time: j.Start.UTC(),
		Connection: j.Connection, Own: j.Own, Others: j.Others, TotalMS: millis(j.Total),
		Awaited: j.Awaited, Part: partOf(j.Last(), j.Awaited, j.Start.Add(j.Total)),
	}
	if len(j.Steps) > 0 {
		v.Rows = append(v.Rows, JourneyRow{
			Name: "event " + j.Topic, Step: "event", Service: "weir", Kind: "internal", Node: j.Node, DurationMS: v.TotalMS, SharePct: 100,
			Attrs: journey.Facts("event", j.ID, "type", j.Type, "subject", j.Subject, "published on", j.Node, "reader", j.Connection),
		})
	}
	v.Rows = append(v.Rows, journeyRows(j.Topic, j.Start, j.Total, j.Steps)...)
	return v
}

// journeyRows are the rows of an event's steps.
func journeyRows(topic string, start time.Time, total time.Duration, steps []journey.Step) []JourneyRow {
	rows := make([]JourneyRow, 0, len(steps))
	for _, step := range steps {
		row := JourneyRow{
			Name: stepName(step.Kind, topic), Step: string(step.Kind), Service: "weir", Node: step.Node, Gap: step.Gap, Depth: 1, Attrs: step.Facts,
			StartMS: millis(step.Start.Sub(start)), DurationMS: millis(step.Duration),
		}
		switch step.Kind {
		case journey.Send:
			row.Kind = "producer"
		case journey.Receive:
			row.Kind = "consumer"
		case journey.Deliver:
			row.Kind = "internal"
			row.Attrs = append(journey.Facts("waited before the write", formatMS(millis(step.Waited))), step.Facts...)
		case journey.Process:
			row.Kind, row.Service = "consumer", "weir-browser"
		default:
			row.Service = ""
		}
		rows = append(rows, row)
	}
	for i, next := len(rows)-1, math.Inf(1); i >= 0 && total > 0; i-- {
		row := &rows[i]
		row.SharePct = 100 * max(0, min(row.StartMS+row.DurationMS, next)-row.StartMS) / millis(total)
		next = min(next, row.StartMS)
	}
	return rows
}

// stepName is what a step is called: a span by its name, a gap by what it is.
func stepName(kind journey.StepKind, topic string) string {
	switch kind {
	case journey.Send, journey.Receive, journey.Deliver, journey.Process:
		return string(kind) + " " + topic
	case journey.Waiting:
		return "wait in the log"
	case journey.Network:
		return "network, browser"
	case journey.Busy:
		return "page not reading"
	default:
		return string(kind)
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
