package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxText is how much of a text payload one row of the page shows. The
	// JSON representation of the event is never shortened.
	maxText = 4096
	// maxMeasures is how many numbers of one payload a row shows.
	maxMeasures = 16
	maxLabel    = 40
	maxMember   = 200
)

// An Item is one event as the page shows it.
type Item struct {
	ID          string
	Time        time.Time // when it happened
	Traceparent string    // W3C trace context; left out of the page unless well-formed
	Topic, Type string
	Data        []byte // as ContentType says; text may be any bytes
	ContentType string // default application/json
}

// A Page is what index.html needs to know.
type Page struct {
	Topics      []string
	Topic       string // the one chosen at the start; one of Topics
	Traceparent string // of the request for the page itself, may be empty
	Node        string
	Version     string
	HeartbeatMS int64  // interval of ping events
	RetryMS     int64  // first delay of a reconnect; 0: one second
	JaegerUI    string // address of Jaeger's UI, may be empty
	HasAssets   bool
	// NoDetails says that connection details and traces are served elsewhere
	// (an admin listener): the page then does not ask for them.
	NoDetails bool
}

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

// A Templates renders the HTML of the page. Its methods may be called
// concurrently. They write nothing at all when they fail.
type Templates struct{ set *template.Template }

// ParseTemplates parses index.html, item.html and journey.html of fsys, or of
// the embedded files when fsys is nil.
func ParseTemplates(fsys fs.FS) (*Templates, error) {
	if fsys == nil {
		fsys = sub(templateFS, "templates")
	}
	set, err := template.New("").Funcs(template.FuncMap{"ms": formatMS, "share": formatShare, "short": short}).
		ParseFS(fsys, "index.html", "item.html", "journey.html")
	if err != nil {
		return nil, fmt.Errorf("parsing templates: %w", err)
	}
	return &Templates{set}, nil
}

func (t *Templates) render(w io.Writer, name string, data any) error {
	var buf bytes.Buffer
	if err := t.set.ExecuteTemplate(&buf, name, data); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// Page writes the page.
func (t *Templates) Page(w io.Writer, p Page) error { return t.render(w, "index.html", p) }

// Journey writes the fragment that fills the journey panel.
func (t *Templates) Journey(w io.Writer, j Journey) error { return t.render(w, "journey.html", j) }

// Item writes the fragment of one event: a single element of class data-item.
func (t *Templates) Item(w io.Writer, it Item) error {
	v := itemView{ID: clean(it.ID), Topic: clean(it.Topic), Type: clean(it.Type), Time: it.Time.UTC()}
	if traceparentForm.MatchString(it.Traceparent) {
		v.Traceparent = it.Traceparent
		v.Trace = it.Traceparent[3:11]
	}
	isJSON := it.ContentType == "" || strings.HasPrefix(it.ContentType, "application/json")
	if isJSON {
		v.Measures, v.More, v.Text = readJSON(it.Data)
	}
	if v.Measures == nil {
		v.Text = string(it.Data)
		if isJSON && strings.HasPrefix(v.Text, `"`) {
			var s string
			if json.Unmarshal(it.Data, &s) == nil {
				v.Text = s
			}
		}
	}
	v.Text, v.Cut = cutText(v.Text)
	return t.render(w, "item.html", v)
}

type itemView struct {
	ID, Topic, Type    string
	Traceparent, Trace string
	Time               time.Time
	Measures           []measure
	More               int // measures beyond maxMeasures
	Text               string
	Cut                int // bytes of text beyond maxText
}

// Epoch is the time in milliseconds with the microseconds behind the point:
// deliveries on one machine take less than a millisecond.
func (v itemView) Epoch() string {
	return strconv.FormatFloat(float64(v.Time.UnixMicro())/1000, 'f', 3, 64)
}

// A measure is one number of a payload. Known ones have a unit, a short noun
// and a colour of their own; any other gets a colour by its place.
type measure struct {
	Name  string
	Label string
	Unit  string // behind the number: °C
	Noun  string // where the unit alone does not say what it is: goroutines
	Shown string // the number, formatted for people
	Value string // the number, for the chart
	Color int
	Limit string // the number that Value cannot exceed, formatted; not charted

	digits int
	plural string // what Noun loses when there is one
	of     string // this one is the limit of that one
}

// colors is how many colours the style sheet has for measures.
const colors = 8

// known are the payloads that Weir's own sources publish.
var known = map[string]measure{
	"temperature":    {Label: "Temperature", Unit: "°C", Color: 0, digits: 1},
	"humidity":       {Label: "Humidity", Unit: "%", Color: 1, digits: 1},
	"pressure":       {Label: "Pressure", Unit: "hPa", Color: 2, digits: 1},
	"cpu_percent":    {Label: "CPU", Unit: "%", Noun: "CPU", Color: 0, digits: 1},
	"memory_percent": {Label: "Memory", Unit: "%", Noun: "mem", Color: 1, digits: 1},
	"open_fds":       {Label: "Open files", Noun: "files", plural: "s", Color: 2},
	"fd_limit":       {Label: "File limit", of: "open_fds"},
	"goroutines":     {Label: "Goroutines", Noun: "goroutines", plural: "s", Color: 3},
	"gc_pause_ms":    {Label: "GC pause", Unit: "ms", Noun: "GC", Color: 4, digits: 2},
	"connections":    {Label: "Connections", Noun: "streams", plural: "s", Color: 5},
}

// readJSON reads the numbers among the members of a JSON object, in the order
// in which they stand there; what else the object holds becomes text. Any other
// JSON value is text alone.
func readJSON(data []byte) (measures []measure, more int, text string) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, 0, ""
	}
	limits := map[string]string{}
	at := map[string]int{}
	var rest strings.Builder
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, 0, ""
		}
		name, _ := tok.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, 0, ""
		}
		f, ok := number(raw)
		if !ok {
			writeMember(&rest, name, raw)
			continue
		}
		m, isKnown := known[name]
		if !isKnown {
			m = measure{Label: label(name), Noun: label(name), Color: len(measures) % colors, digits: -1}
		}
		if f == 1 {
			m.Noun = strings.TrimSuffix(m.Noun, m.plural)
		}
		m.Name, m.Value, m.Shown = clean(name), strconv.FormatFloat(f, 'g', -1, 64), formatNumber(f, m.digits)
		if m.of != "" {
			limits[m.of] = m.Shown
			continue
		}
		if i, dup := at[name]; dup { // as everywhere in JSON, the last one counts
			measures[i].Value, measures[i].Shown = m.Value, m.Shown
			continue
		}
		if len(measures) == maxMeasures {
			more++
			continue
		}
		at[name] = len(measures)
		measures = append(measures, m)
	}
	if measures == nil {
		return nil, 0, "" // nothing to chart: the object as it came reads best
	}
	for of, limit := range limits {
		if i, ok := at[of]; ok {
			measures[i].Limit = limit
		}
	}
	return measures, more, rest.String()
}

// number reads a JSON number that a chart can show.
func number(raw json.RawMessage) (float64, bool) {
	if len(raw) == 0 || (raw[0] != '-' && (raw[0] < '0' || raw[0] > '9')) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

func writeMember(b *strings.Builder, name string, raw json.RawMessage) {
	if b.Len() > maxText {
		return
	}
	value := string(raw)
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		value = s
	} else {
		var compact bytes.Buffer
		if json.Compact(&compact, raw) == nil {
			value = compact.String()
		}
	}
	if b.Len() > 0 {
		b.WriteString(" · ")
	}
	b.WriteString(short(name, maxLabel))
	b.WriteString(" ")
	b.WriteString(short(value, maxMember))
}

// label makes a heading of the name of a JSON member.
func label(name string) string {
	return short(strings.Join(strings.FieldsFunc(clean(name), func(r rune) bool { return r == '_' || unicode.IsSpace(r) }), " "), maxLabel)
}

// short cuts s to n runes, with an ellipsis in place of what is cut.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := 0
	for at := range s {
		if i == n-1 {
			return s[:at] + "…"
		}
		i++
	}
	return s
}

func formatNumber(f float64, digits int) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 && digits <= 0 {
		return group(strconv.FormatFloat(f, 'f', 0, 64))
	}
	if digits >= 0 && math.Abs(f) < 1e9 {
		return strconv.FormatFloat(f, 'f', digits, 64)
	}
	return strconv.FormatFloat(f, 'g', 6, 64)
}

// group sets commas into an integer of five or more digits.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	if len(s) < 5 {
		return sign + s
	}
	head := (len(s)-1)%3 + 1
	var b strings.Builder
	b.WriteString(sign + s[:head])
	for i := head; i < len(s); i += 3 {
		b.WriteString("," + s[i:i+3])
	}
	return b.String()
}

var (
	traceparentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	newlines        = strings.NewReplacer("\r\n", "\n", "\r", "\n")
	// Colours and cursor movements that programs print for terminals.
	ansi = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
)

// cutText prepares text for the page and says how many bytes it left out.
func cutText(s string) (string, int) {
	cut := 0
	if len(s) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		cut = len(s) - end
		s = s[:end]
	}
	return clean(strings.TrimRight(newlines.Replace(ansi.ReplaceAllString(s, "")), "\n")), cut
}

// clean makes text that can be seen of any bytes: invalid UTF-8 becomes U+FFFD,
// a control character its picture, so that a NUL in a log line is not lost.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20:
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		default:
			return r
		}
	}, s)
}

// formatMS writes milliseconds with as many digits as tell something.
func formatMS(ms float64) string {
	switch abs := math.Abs(ms); {
	case abs >= 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	case abs >= 100:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case abs >= 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case abs >= 0.01 || ms == 0:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	default:
		return strconv.FormatFloat(ms*1000, 'f', 1, 64) + " µs"
	}
}

func formatShare(pct float64) string {
	if pct > 0 && pct < 1 {
		return "< 1 %"
	}
	return strconv.FormatFloat(math.Round(pct), 'f', 0, 64) + " %"
}

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
