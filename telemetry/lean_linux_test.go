package telemetry_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/stream"
	"weir/telemetry"
)

// TestLeanTransport has streams whose handler has returned when they begin: their
// spans, and what the log says, are as those of others. It is for the race
// detector.
func TestLeanTransport(t *testing.T) {
	clearEnv(t)
	spans := tracetest.NewSpanRecorder()
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler), SpanProcessors: []sdktrace.SpanProcessor{spans}})
	if err != nil {
		t.Fatal(err)
	}
	hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks()})
	defer hub.Close()
	if err := hub.AddTopic("sensor"); err != nil {
		t.Fatal(err)
	}
	handler := &stream.Handler{Hub: hub, Transport: stream.TransportLean}
	tel.Observe(handler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: tel.Middleware("/sse-stream", handler), ConnContext: stream.ConnContext}
	go func() { _ = server.Serve(stream.NewListener(l)) }()
	defer server.Close()
	for range 50 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /sse-stream HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "data: ") {
				break
			}
		}
		_ = c.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for handler.Active() > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond) // until the server has seen all of them go
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests, segments := named(spans.Ended(), "GET /sse-stream"), named(spans.Ended(), "stream sensor")
	if len(requests) != 50 || len(segments) != 50 {
		t.Fatalf("%d requests and %d segments of 50 streams", len(requests), len(segments))
	}
	for _, s := range requests {
		if attr(s, "http.response.status_code").AsInt64() != 200 || attr(s, "sse.connection.id").AsString() == "" {
			t.Errorf("the request's span has %v", s.Attributes())
		}
	}
}
