//go:build jaeger

package jaeger_test

import (
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long a condition may take to come true: more than the first
// segment of a stream (15 s) and the batches on its way to Jaeger.
const patience = 60 * time.Second

// A person presses Connect, and looks for the stream and for an event in Jaeger.
func TestStreamAndEventInJaeger(t *testing.T) {
	j := startJaeger(t)
	// What the README tells a user to set, and nothing else.
	weir, log := startWeir(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+j.otlp)
	page := openPage(t, weir)
	do(t, page, chromedp.Click(chromedp.CSS("#connect"), chromedp.NodeVisible))
	wait(t, page, `document.body.dataset.state === 'connected' && document.querySelectorAll('#sse-feed .data-item[data-traceparent]:not([data-replayed])').length >= 2`)
	connection := evaluate[string](t, page, `document.getElementById('stream-connection').textContent.trim()`)
	type item struct{ ID, Traceparent string }
	events := evaluate[[]item](t, page, `[...document.querySelectorAll('#sse-feed .data-item[data-traceparent]:not([data-replayed])')].map((e) => ({ id: e.dataset.id, traceparent: e.dataset.traceparent }))`)

	t.Run("the stream while it is open", func(t *testing.T) {
		var tr trace
		eventually(t, func() bool {
			tr = j.stream(t, connection)
			return len(tr.named("GET /sse-stream")) == 1 && len(tr.named("stream sensor")) >= 1
		}, func() string { return "the establish span and the first segment: got " + tr.String() })
		if !open(t, weir, connection) {
			t.Fatal("the stream has ended meanwhile")
		}
		tr.sound(t)
		establish, segment := tr.named("GET /sse-stream")[0], tr.named("stream sensor")[0]
		if got := establish.tag("span.kind"); got != "server" {
			t.Errorf("GET /sse-stream is of kind %v, want server", got)
		}
		if len(establish.parents()) != 0 {
			t.Errorf("GET /sse-stream has a parent")
		}
		if d := establish.length(); d > time.Second {
			t.Errorf("GET /sse-stream took %v: that is the stream, not its establishment", d)
		}
		if !slices.Equal(segment.parents(), []string{establish.SpanID}) {
			t.Errorf("the segment's parents are %v, want GET /sse-stream", segment.parents())
		}
		if d := segment.length(); d < 14*time.Second || d > 25*time.Second {
			t.Errorf("the first segment took %v, want 15 s", d)
		}
		if n, _ := segment.tag("sse.segment.delivered").(float64); n < 5 {
			t.Errorf("the first segment delivered %v events", segment.tag("sse.segment.delivered"))
		}
		if segment.tag("sse.close.reason") != nil {
			t.Errorf("an open stream has the close reason %v", segment.tag("sse.close.reason"))
		}
		t.Log(tr)
	})

	t.Run("the way of an event", func(t *testing.T) {
		event := events[len(events)-1] // one that came while the page was connected
		var tr trace
		eventually(t, func() bool {
			tr = j.trace(t, traceID(t, event.Traceparent))
			return len(tr.named("event sensor")) == 1 && len(tr.named("send sensor")) == 1 && len(tr.named("deliver sensor")) >= 1 && len(tr.named("process sensor")) >= 1
		}, func() string { return "event, send, deliver and process: got " + tr.String() })
		tr.sound(t)
		whole := tr.named("event sensor")[0]
		send, deliver, process := tr.named("send sensor")[0], tr.named("deliver sensor")[0], tr.named("process sensor")[0]
		for _, s := range []struct {
			span
			kind, service string
		}{{send, "producer", "weir"}, {deliver, "internal", "weir"}, {process, "consumer", "weir-browser"}} {
			if got := s.tag("span.kind"); got != s.kind {
				t.Errorf("%s is of kind %v, want %s", s.OperationName, got, s.kind)
			}
			if got := tr.Processes[s.ProcessID].ServiceName; got != s.service {
				t.Errorf("%s is of service %s, want %s", s.OperationName, got, s.service)
			}
			if got := s.tag("sse.event.id"); got != event.ID {
				t.Errorf("%s is of event %v, want %s", s.OperationName, got, event.ID)
			}
		}
		for _, s := range []span{send, deliver, process} {
			if !slices.Equal(s.parents(), []string{whole.SpanID}) {
				t.Errorf("the parents of %s are %v, want event", s.OperationName, s.parents())
			}
			if s.StartTime < whole.StartTime || s.StartTime+s.Duration > whole.StartTime+whole.Duration+1 { // in whole µs
				t.Errorf("%s lies outside of its event: %s", s.OperationName, tr)
			}
		}
		if send.StartTime > deliver.StartTime || deliver.StartTime > process.StartTime+process.Duration || send.StartTime > process.StartTime {
			t.Errorf("the order is not send, deliver, process: %s", tr)
		}
		// The delivery leads to the stream that it was made on.
		stream := j.stream(t, connection)
		leads := false
		for _, link := range deliver.links() {
			leads = leads || link.TraceID == stream.TraceID && stream.has(link.SpanID)
		}
		if !leads {
			t.Errorf("deliver has the links %v, none to a span of the stream %s", deliver.links(), stream)
		}
		t.Log(tr)
	})

	t.Run("the links of the user interface", func(t *testing.T) {
		var ui struct {
			LinkPatterns []struct{ Key, URL string }
		}
		b, err := os.ReadFile("../stack/jaeger-ui.json")
		if err == nil {
			err = json.Unmarshal(b, &ui)
		}
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, p := range ui.LinkPatterns {
			var value, want string
			switch p.Key {
			case "sse.connection.id":
				value, want = connection, "stream sensor"
			case "sse.event.id":
				value, want = events[0].ID, "send sensor"
			default:
				continue
			}
			tried++
			u, err := url.Parse(strings.ReplaceAll(p.URL, "#{"+p.Key+"}", url.QueryEscape(value)))
			if err != nil {
				t.Fatal(err)
			}
			// The page /search asks the API with the same parameters.
			found := j.search(t, u.Query())
			if !slices.ContainsFunc(found, func(tr trace) bool { return len(tr.named(want)) > 0 }) {
				t.Errorf("%s leads to %v, without %q", u, found, want)
			}
		}
		if tried != 2 {
			t.Errorf("%d of 2 links were tried", tried)
		}
	})

	t.Run("the stream when it has ended", func(t *testing.T) {
		do(t, page, chromedp.Click(chromedp.CSS("#disconnect"), chromedp.NodeVisible))
		var tr trace
		var last []span
		eventually(t, func() bool {
			tr = j.stream(t, connection)
			last = nil
			for _, s := range tr.named("stream sensor") {
				if s.tag("sse.close.reason") != nil {
					last = append(last, s)
				}
			}
			return len(last) > 0
		}, func() string { return "no segment tells why the stream ended: " + tr.String() })
		tr.sound(t)
		if len(last) != 1 || last[0].tag("sse.close.reason") != "client" {
			t.Errorf("it ended %d times, for the reason %v, want client", len(last), last[0].tag("sse.close.reason"))
		}
		segments := tr.named("stream sensor")
		if len(segments) < 2 {
			t.Fatalf("%d segments", len(segments))
		}
		slices.SortFunc(segments, func(a, b span) int { return int(a.StartTime - b.StartTime) })
		for i, s := range segments[1:] {
			before := segments[i]
			if !slices.ContainsFunc(s.links(), func(r reference) bool { return r.SpanID == before.SpanID }) {
				t.Errorf("segment %d has no link to the one before", i+2)
			}
		}
	})

	// Traces, metrics and logs: Jaeger has taken all that it was sent.
	if text := log.String(); strings.Contains(text, "export") {
		t.Errorf("the server complains:\n%s", text)
	}
}
