package web

import (
	"errors"
	"fmt"
	"math"
	"strconv"
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

	// TotalMS is the time until the event was on the reader's screen, or, as far as that
	// is not known, flushed to the reader, or in the log. Awaited says that this is not
	// the journey's end: the reader has a page that has not reported the event on its
	// screen. Part says in words what is not known; "" where the journey is whole.
	TotalMS float64 `json:"total_ms"`
	Awaited bool    `json:"awaited"`
	Part    string  `json:"-"`
	// OverMS is the time until all steps were over: what the waterfall is as wide as. The
	// publisher may hear that its event is in the log after it was on a screen.
	OverMS float64 `json:"over_ms"`
	// Readers is how many readers are known, of however many there were. Slowest is the
	// one of them to which the event came last, replays aside: Later is to how many of the
	// Others it was replayed. Among says so in words; "" where there are no others.
	Readers int          `json:"readers"`
	Later   int          `json:"later,omitempty"`
	Slowest *Way         `json:"slowest,omitempty"`
	Among   string       `json:"-"`
	Rows    []JourneyRow `json:"steps"`
}

// A Way is how long an event took to one reader.
type Way struct {
	Connection string  `json:"connection"`
	TotalMS    float64 `json:"total_ms"`
	Last       string  `json:"last"` // process (on screen), arrive (in the page) or deliver
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
	return shareOf(ms, max(j.OverMS, j.TotalMS))
}

// shareOf is a part of a time, in percent.
func shareOf(ms, whole float64) float64 {
	if !(whole > 0) || math.IsNaN(ms) {
		return 0
	}
	return max(0, min(100, 100*ms/whole))
}

// End names where the journey ends, as far as is known.
func (j Journey) End() string {
	end := "the log"
	for _, r := range j.Rows {
		switch {
		case r.Service == "weir-browser":
			if r.Step == string(journey.Arrive) {
				return "page"
			}
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
func partOf(j journey.Journey) string {
	switch last := j.Last(); {
	case last == journey.Process:
		return ""
	case last == journey.Arrive:
		return "in the page; it was not on screen when it came"
	case j.Awaited && time.Since(j.Start.Add(j.Total)) < reportsWithin:
		return "sent; not reported on screen yet"
	case j.Awaited:
		return "sent; not reported on screen"
	case j.Forgotten:
		return "sent; whether it was on screen is no longer held"
	case last == journey.Deliver:
		return "sent to a reader that does not report"
	case j.Slowest != (journey.Way{}):
		return "published; nothing known of this reader"
	case j.Readers > 0:
		return "published; later read from the log, as history"
	default:
		return "published; no reader is known to have it"
	}
}

// among says of which readers a journey's is one; "" where no other is known. The slowest
// is one of those that were there when the event came: the number is of these alone.
func among(j journey.Journey) string {
	if len(j.Others) == 0 || j.Connection == "" && j.Slowest == (journey.Way{}) {
		return ""
	}
	others, there, later := len(j.Others)-j.Later, "", ""
	if j.Later > 0 {
		there, later = " to have been there when it came", fmt.Sprintf("; %s had it later", more(j.Later, "one more", "%d more"))
	}
	switch slowest := j.Slowest; {
	case slowest == (journey.Way{}):
		return more(len(j.Others), "one other reader is known", "%d other readers are known")
	case slowest.Connection != j.Connection:
		to := "it was sent"
		if slowest.Last == journey.Process {
			to = "it was on screen"
		} else if slowest.Last == journey.Arrive {
			to = "it was in the page"
		}
		known := more(others, "one other reader is known", "%d other readers are known")
		return fmt.Sprintf("%s%s; to the slowest %s after %s%s", known, there, to, formatMS(millis(slowest.Total)), later)
	case others == 0:
		return "the only reader that is known to have been there when it came" + later
	default:
		return fmt.Sprintf("the slowest of %d readers that are known%s%s", others+1, there, later)
	}
}

// amongShort says the same in a few words, as a list does that says it line by line.
func amongShort(j journey.Journey) string {
	long := among(j)
	if long == "" || j.Slowest == (journey.Way{}) || j.Slowest.Connection != j.Connection {
		return long
	}
	later := ""
	if j.Later > 0 {
		later = fmt.Sprintf("%d later", j.Later)
	}
	there := len(j.Others) - j.Later + 1
	switch {
	case there == 1:
		return later
	case later == "":
		return fmt.Sprintf("slowest of %d", there)
	default:
		return fmt.Sprintf("slowest of %d, %s", there, later)
	}
}

// more says how many there are.
func more(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

// Ruler are the times at the lines of the waterfall: five, from its beginning to
// its end, in one unit, with the digits that tell one from the next, and not fewer than
// the total has above it.
func (j Journey) Ruler() []string {
	over := max(j.OverMS, j.TotalMS)
	unit, by := " ms", 1.0
	switch {
	case over >= 59_950:
		by = 0
	case over >= 999.5:
		unit, by = " s", 1e-3
	case over > 0 && over < 0.1:
		unit, by = " µs", 1e3
	}
	digits := 2
	if step := over * by / 4; step > 0 {
		digits = min(3, max(0, 1-int(math.Floor(math.Log10(step)))))
	}
	if total, same := strings.CutSuffix(formatMS(over), unit); same {
		_, behind, _ := strings.Cut(total, ".")
		digits = max(digits, len(behind))
	}
	marks := []string{"0"}
	for i := 1.0; i <= 4; i++ {
		if by == 0 {
			marks = append(marks, lasting(over*i/4))
		} else {
			marks = append(marks, strconv.FormatFloat(over*by*i/4, 'f', digits, 64)+unit)
		}
	}
	return marks
}

// A JourneyRow is one bar of the waterfall.
type JourneyRow struct {
	// Name is the span's, such as "send sensor", or says what a gap is.
	Name string `json:"name"`
	// Step is one of event, send, broker, receive, waiting, deliver, network, busy,
	// arrive, process.
	Step       string  `json:"step"`
	Service    string  `json:"service,omitempty"` // weir, weir-browser; "" for a gap
	Node       string  `json:"node,omitempty"`
	StartMS    float64 `json:"start_ms"` // since the start of the journey
	DurationMS float64 `json:"duration_ms"`
	// SharePct is how wide the step's bar is: how much its duration is of the time until
	// all steps were over, 0 to 100. Steps overlap, so that shares may add up to more.
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
		return Journey{Missing: "This event is too long ago: only the most recent ones are kept in memory. A collector keeps them all."}
	case errors.Is(err, journey.ErrBefore):
		return Journey{Missing: "This event was published before this server was started, which has read it from the log: its way is not known here. A collector keeps them all."}
	case err != nil:
		return Journey{Missing: "Nothing is known of this trace here: the event was not sampled, another node has it, it is too long ago, the server was restarted since, or it is a publisher’s own where anybody may publish (-play)."}
	}
	v := Journey{
		Topic: j.Topic, EventID: j.ID, Type: j.Type, Subject: j.Subject, Node: j.Node, Time: j.Start.UTC(),
		Connection: j.Connection, Own: j.Own, Others: j.Others, TotalMS: totalMS(j.Start, j.Total),
		OverMS:  max(millis(j.Over), totalMS(j.Start, j.Total)),
		Awaited: j.Awaited, Part: partOf(j), Readers: j.Readers, Later: j.Later, Slowest: wayOf(j.Slowest), Among: among(j),
	}
	if len(j.Steps) > 0 {
		v.Rows = append(v.Rows, JourneyRow{
			Name: "event " + j.Topic, Step: "event", Service: "weir", Kind: "internal", Node: j.Node, DurationMS: v.OverMS, SharePct: shareOf(v.OverMS, v.OverMS), // it encloses its steps
			Attrs: journey.Facts("event", j.ID, "type", j.Type, "subject", j.Subject, "published on", j.Node, "reader", j.Connection),
		})
	}
	v.Rows = append(v.Rows, journeyRows(j)...)
	return v
}

func wayOf(w journey.Way) *Way {
	if w == (journey.Way{}) {
		return nil
	}
	return &Way{w.Connection, millis(w.Total), string(w.Last)}
}

// journeyRows are the rows of an event's steps.
func journeyRows(j journey.Journey) []JourneyRow {
	rows := make([]JourneyRow, 0, len(j.Steps))
	for _, step := range j.Steps {
		row := JourneyRow{
			Name: stepName(step.Kind, j.Topic), Step: string(step.Kind), Service: "weir", Node: step.Node, Gap: step.Gap, Depth: 1, Attrs: step.Facts,
			StartMS: millis(step.Start.Sub(j.Start)), DurationMS: millis(step.Duration),
		}
		row.SharePct = shareOf(row.DurationMS, millis(max(j.Over, j.Total)))
		switch step.Kind {
		case journey.Send:
			row.Kind = "producer"
		case journey.Receive:
			row.Kind = "consumer"
		case journey.Deliver:
			row.Kind = "internal"
			row.Attrs = append(journey.Facts("waited before the write", formatMS(millis(step.Waited))), step.Facts...)
			if step.Returned > 0 {
				row.Attrs = append(journey.Facts("ends", "when the page had the event; the server’s write returned "+formatMS(millis(step.Returned))+" later"), row.Attrs...)
			}
		case journey.Arrive:
			row.Service = "weir-browser"
		case journey.Process:
			row.Kind, row.Service = "consumer", "weir-browser"
		default:
			row.Service = ""
		}
		if after := step.Start.Add(step.Duration).Sub(j.Start) - j.Total; after >= time.Microsecond && !j.Awaited { // a page's clock is no finer
			row.Attrs = append(journey.Facts("ends", formatMS(millis(after))+" after the journey, and is not all in its time"), row.Attrs...)
		}
		rows = append(rows, row)
	}
	return rows
}

// stepName is what a step is called: a span by its name, a gap by what it is.
func stepName(kind journey.StepKind, topic string) string {
	switch kind {
	case journey.Send, journey.Receive, journey.Deliver, journey.Process:
		return string(kind) + " " + topic
	case journey.Arrive:
		return "in the page"
	case journey.Waiting:
		return "wait in the log"
	case journey.Network:
		return "network, browser"
	case journey.Busy:
		return "page busy or frozen"
	default:
		return string(kind)
	}
}

// totalMS is how long a journey took from its start, to the microsecond: a page knows both
// ends in that form, and its row says the same.
func totalMS(start time.Time, took time.Duration) float64 {
	return float64(start.Add(took).Round(time.Microsecond).UnixMicro()-start.UnixMicro()) / 1000
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
