package stream

import (
	"encoding/json"
	"net/http"
	"time"

	"weir/stream/eventlog"
	"weir/stream/sse"
)

// The names of the control events: what a stream carries beside the topic's own
// events. Each has data, since some clients take a block without data for an
// empty message and others pass over the id in it.
const (
	eventConnected = "connected"    // first
	eventGap       = "gap"          // events were lost to this client
	eventFault     = "stream-error" // a fault that the user should see
	eventPing      = "ping"         // a heartbeat, and the last word of a stream whose client shall come back
	eventClose     = "close"        // the client shall not come back
)

func setHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// greeting is what every client gets first. Its id is the position behind which
// the stream begins: a client that is cut off before its first event resumes
// there.
func (s *session) greeting(now time.Time) []byte {
	position, live := s.member.Position().String(), s.member.Since().String()
	hello := struct {
		Connection  string `json:"connection"`
		Node        string `json:"node"`
		Topic       string `json:"topic"`
		Resumed     bool   `json:"resumed"`
		LastEventID string `json:"last_event_id,omitempty"`
		Traceparent string `json:"traceparent"`
		Session     string `json:"session,omitempty"`
		Position    string `json:"position"`
		Live        string `json:"live"`
		Time        int64  `json:"time"` // Unix time in ms
	}{
		Connection: s.conn.ID, Node: s.h.Node, Topic: s.conn.Topic, Resumed: s.conn.Resumed,
		Traceparent: s.hooks.Traceparent, Session: s.hooks.Session, Position: position, Live: live, Time: now.UnixMilli(),
	}
	if s.malformed {
		hello.LastEventID = "malformed"
	}
	return sse.Message{Retry: or(s.h.Retry, defaultRetry), ID: position, Event: eventConnected, Data: toJSON(hello)}.AppendTo(nil)
}

// gapMessage moves the client's last event ID, so that the gap is told once.
func gapMessage(g *eventlog.Gap) []byte {
	data := toJSON(struct {
		From   string `json:"from"`
		To     string `json:"to"`
		Reason string `json:"reason"`
	}{g.From.String(), g.To.String(), g.Reason})
	return sse.Message{ID: g.To.String(), Event: eventGap, Data: data}.AppendTo(nil)
}

// pingMessage tells the log's position, so that a reader whose events are rare
// does not fall behind the log's floor. With a retry it is the last word of a
// stream.
func pingMessage(position ID, retry time.Duration, now time.Time) []byte {
	data := toJSON(struct {
		Time string `json:"time"`
	}{now.UTC().Format("2006-01-02T15:04:05.000Z07:00")})
	return sse.Message{Retry: retry, ID: position.String(), Event: eventPing, Data: data}.AppendTo(nil)
}

func closeMessage(reason string) []byte {
	data := toJSON(struct {
		Reason string `json:"reason"`
	}{reason})
	return sse.Message{Event: eventClose, Data: data}.AppendTo(nil)
}

func messageJSON(message string) []byte {
	return toJSON(struct {
		Message string `json:"message"`
	}{message})
}

// toJSON is for values that can always be encoded.
func toJSON(v any) []byte {
	b, _ := json.Marshal(v) // of strings and numbers: cannot fail
	return b
}
