package stream

import (
	"encoding/json"
	"net/http"
	"time"

	"weir/stream/eventlog"
	"weir/stream/sse"
)

// timeLayout is how control events write a time.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

func setHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// A hello is the data of connected.
type hello struct {
	Connection  string `json:"connection"`
	Node        string `json:"node"`
	Topic       string `json:"topic"`
	Resumed     bool   `json:"resumed"`
	LastEventID string `json:"last_event_id,omitempty"` // "malformed": the client gave one that is none
	Traceparent string `json:"traceparent"`
	Session     string `json:"session,omitempty"`
	Position    string `json:"position"` // after which the stream begins
	Live        string `json:"live"`     // what comes up to this ID is a replay
	Time        int64  `json:"time"`     // Unix time in ms
}

func greetingMessage(h hello, retry time.Duration) []byte {
	return sse.Message{Retry: retry, ID: h.Position, Event: sse.EventConnected, Data: toJSON(h)}.AppendTo(nil)
}

// gapMessage moves the client's last event ID, so that the gap is told once.
func gapMessage(g *eventlog.Gap) []byte {
	data := toJSON(struct {
		From   string `json:"from"`
		To     string `json:"to"`
		Reason string `json:"reason"`
		Missed uint64 `json:"missed,omitempty"` // events, where that is known
	}{g.From.String(), g.To.String(), g.Reason, g.Missed})
	return sse.Message{ID: g.To.String(), Event: sse.EventGap, Data: data}.AppendTo(nil)
}

// pingMessage tells the log's position, so that a reader whose events are rare
// does not fall behind the log's floor. With a retry it is the last word of a
// stream.
func pingMessage(position ID, retry time.Duration, now time.Time) []byte {
	data := toJSON(struct {
		Time string `json:"time"`
	}{now.UTC().Format(timeLayout)})
	return sse.Message{Retry: retry, ID: position.String(), Event: sse.EventPing, Data: data}.AppendTo(nil)
}

func closeMessage(reason string) []byte {
	data := toJSON(struct {
		Reason string `json:"reason"`
	}{reason})
	return sse.Message{Event: sse.EventClose, Data: data}.AppendTo(nil)
}

func messageJSON(message string) []byte {
	return toJSON(struct {
		Message string `json:"message"`
	}{message})
}

// faultJSON tells of a fault that lasts, and since when: a client that is told again when it
// comes back knows by the time that it is the same.
func faultJSON(message string, since time.Time) []byte {
	return toJSON(struct {
		Message string `json:"message"`
		Time    string `json:"time"`
	}{message, since.UTC().Format(timeLayout)})
}

// toJSON is for values that can always be encoded.
func toJSON(v any) []byte {
	b, _ := json.Marshal(v) // of strings and numbers: cannot fail
	return b
}
