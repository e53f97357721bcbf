package web

import "time"

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
	// TotalMS is the time from publishing until the event was on the screen of its
	// slowest reader, or, as far as that is not known, flushed to that reader, or in the
	// log. Last names which: process, arrive (in a page
	// that did not show it), deliver, receive or send. Connection is the reader.
	TotalMS    float64 `json:"total_ms"`
	Last       string  `json:"last"`
	Connection string  `json:"connection,omitempty"`
	// OverMS is as in [Journey].
	OverMS float64 `json:"over_ms"`
	// Awaited says that the last step is not the journey's end: the reader has a page
	// that has not reported the event on its screen. Part says in words what is not known
	// of the journey; "" where it is whole.
	Awaited bool   `json:"awaited"`
	Part    string `json:"-"`
	// Readers is how many readers are known, of however many there were, and Later to how
	// many of the others the event was replayed. Among says in words that this is the slowest
	// of several; AmongShort, which every line shows, in a few.
	Readers    int    `json:"readers"`
	Later      int    `json:"later,omitempty"`
	Among      string `json:"-"`
	AmongShort string `json:"-"`
	// Rows are the steps to the slowest reader, for a small waterfall.
	Rows []JourneyRow `json:"steps"`
	// URL is the journey's address. JaegerURL leads to the trace in Jaeger; ""
	// when there is none.
	URL       string `json:"url"`
	JaegerURL string `json:"jaeger_url,omitempty"`
}

// awaitedShare is how much of a line's waterfall stands for what is not known yet, in
// percent.
const awaitedShare = 15

// BarX and BarWidth place a row in the line's waterfall: see [Journey.BarX].
func (l TraceLine) BarX(r JourneyRow) string {
	x, _ := Journey{TotalMS: l.TotalMS, OverMS: l.OverMS}.bar(r)
	return percent(x * l.known())
}

// BarWidth is the width that goes with [TraceLine.BarX].
func (l TraceLine) BarWidth(r JourneyRow) string {
	_, width := Journey{TotalMS: l.TotalMS, OverMS: l.OverMS}.bar(r)
	return percent(width * l.known())
}

// known is the share of the waterfall that is for the steps that are known.
func (l TraceLine) known() float64 {
	if l.Awaited {
		return 1 - awaitedShare/100.0
	}
	return 1
}

// Epoch is Time in milliseconds.
func (l TraceLine) Epoch() int64 { return l.Time.UnixMilli() }
