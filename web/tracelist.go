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

// Epoch is Time in milliseconds.
func (l TraceLine) Epoch() int64 { return l.Time.UnixMilli() }
