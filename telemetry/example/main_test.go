package main

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/stream/eventlog"
	"weir/telemetry"
)

// TestSameSpansAndMetrics: the foreign handler makes Weir's spans and metrics.
func TestSameSpansAndMetrics(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{SpanProcessors: []sdktrace.SpanProcessor{spans}})
	if err != nil {
		t.Fatal(err)
	}
	b := &broadcast{hooks: tel.Hooks(), clients: map[chan *eventlog.Entry]bool{}}
	server := httptest.NewServer(tel.Middleware("/events", b))
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b.publish(t.Context(), "1")
	for line, r := "", bufio.NewReader(resp.Body); line != "data: 1\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	_ = resp.Body.Close()
	metrics := func() string {
		w := httptest.NewRecorder()
		tel.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(metrics(), `sse_server_connection_duration_seconds_count{sse_close_reason="client",sse_topic="ticks"} 1`) {
		if time.Now().After(deadline) {
			t.Fatalf("the stream does not end:\n%s", metrics())
		}
		time.Sleep(time.Millisecond) // until the handler has seen it
	}
	if !strings.Contains(metrics(), `sse_server_delivery_duration_seconds_count{sse_topic="ticks"} 1`) {
		t.Errorf("the delivery is not counted:\n%s", metrics())
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range spans.Ended() {
		names = append(names, s.Name())
		for _, a := range s.Attributes() {
			if a.Key == "sse.segment.delivered" || a.Key == "sse.segment.bytes" || a.Key == "sse.segment.lag" {
				t.Errorf("%s says %s=%v, which it cannot know", s.Name(), a.Key, a.Value.AsInt64())
			}
		}
	}
	for _, want := range []string{"GET /events", "stream ticks", "event ticks", "send ticks", "deliver ticks"} {
		if !slices.Contains(names, want) {
			t.Errorf("no span %s: %q", want, names)
		}
	}
}
