package web

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"
)

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
// JSON value is text alone. reading says that it is one of Weir's own sources, whose
// units are known; somebody else's temperature may be in kelvin.
func readJSON(data []byte, reading bool) (measures []measure, more int, text string) {
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
		if !isKnown || !reading {
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
