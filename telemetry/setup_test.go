package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"

	"weir/stream"
	"weir/stream/streamtest"
	"weir/telemetry"
)

func TestBadEnvironment(t *testing.T) {
	for _, tt := range []struct{ name, value string }{
		{"OTEL_SDK_DISABLED", "yes"},
		{"OTEL_TRACES_EXPORTER", "jaeger"},
		{"OTEL_TRACES_EXPORTER", "otlp,console"},
		{"OTEL_METRICS_EXPORTER", "statsd"},
		{"OTEL_LOGS_EXPORTER", "file"},
		{"OTEL_METRICS_PRODUCERS", "x"},
		{"OTEL_PROPAGATORS", "tracecontext,w3c"},
		{"OTEL_TRACES_SAMPLER", "sometimes"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://"},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a b"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "-1"},
		{"OTEL_METRIC_EXPORT_INTERVAL", "0"},
		{"OTEL_RESOURCE_ATTRIBUTES", "no pair"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			clearEnv(t)
			t.Setenv(tt.name, tt.value)
			_, err := telemetry.Setup(t.Context(), telemetry.Options{})
			var bad *telemetry.EnvError
			if !errors.As(err, &bad) || bad.Name != tt.name || bad.Value != tt.value || bad.Accepted == "" {
				t.Fatalf("the error is %v", err)
			}
			if !strings.Contains(err.Error(), tt.name) {
				t.Errorf("the error does not name the variable: %v", err)
			}
		})
	}
	t.Run("sampler argument", func(t *testing.T) {
		clearEnv(t)
		t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", "2")
		var bad *telemetry.EnvError
		if _, err := telemetry.Setup(t.Context(), telemetry.Options{}); !errors.As(err, &bad) || bad.Name != "OTEL_TRACES_SAMPLER_ARG" {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("secrets", func(t *testing.T) {
		clearEnv(t)
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")
		if _, err := telemetry.Setup(t.Context(), telemetry.Options{}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestEndpointIsEnough: one variable, and everything is at the collector.
func TestEndpointIsEnough(t *testing.T) {
	clearEnv(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	logger := slog.New(slog.DiscardHandler)
	opts := telemetry.Options{Version: "1.2.3", Node: "node-a", Logger: logger}
	tel, err := telemetry.Setup(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	*logger = *slog.New(tel.LogHandler(io.Discard, nil))
	run(t, tel)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	names := strings.Join(c.spans["weir"], ",")
	for _, name := range []string{"GET /sse-stream", "stream sensor", "send sensor", "deliver sensor"} {
		if strings.Count(names, name) != 1 {
			t.Errorf("the collector has the spans %s", names)
		}
	}
	for _, name := range []string{"sse.server.events.delivered", "sse.server.delivery.duration", "http.server.request.duration", "go.goroutine.count"} {
		if !c.metrics[name] {
			t.Errorf("the collector lacks %s", name)
		}
	}
	if logs := strings.Join(c.logs, ","); logs != "stream opened,stream closed" {
		t.Errorf("the collector has the logs %s", logs)
	}
	if !c.hosts["service.version=1.2.3"] || !c.hosts["service.instance.id=node-a"] || len(c.hosts) != 3 {
		t.Errorf("the resource has %v", c.hosts)
	}
}

func TestNothingSetNothingSent(t *testing.T) {
	clearEnv(t)
	// The default of OTLP is localhost:4318. Whoever listens there shall hear
	// nothing; the port may be taken, then that one would have heard.
	heard := make(chan string, 1)
	if l, err := net.Listen("tcp", "127.0.0.1:4318"); err == nil {
		server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.URL.Path })}
		go func() { _ = server.Serve(l) }()
		defer server.Close()
	}
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, tel)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case path := <-heard:
		t.Errorf("%s was sent", path)
	default:
	}
}

func TestOneSignalOnly(t *testing.T) {
	clearEnv(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	t.Setenv("OTEL_LOGS_EXPORTER", "none")
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler), ServiceName: "other"})
	if err != nil {
		t.Fatal(err)
	}
	run(t, tel)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.paths) != 1 || c.paths["/v1/traces"] == 0 || len(c.spans["other"]) == 0 {
		t.Errorf("the collector was sent %v, spans %v", c.paths, c.spans)
	}
}

// TestDeadCollector: the stream does not wait for it, memory is bounded, and
// the log has one line.
func TestDeadCollector(t *testing.T) {
	clearEnv(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it takes connections, and never answers
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "100") // a time-out is tried again until this one
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
	var log streamtest.Buffer
	began := time.Now()
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks()})
	defer hub.Close()
	if err := hub.AddTopic("sensor"); err != nil {
		t.Fatal(err)
	}
	publish := func(n int) {
		for range n {
			if _, err := hub.Publish(t.Context(), "sensor", stream.Event{Data: []byte(`1`), Traceparent: foreign}); err != nil {
				t.Fatal(err)
			}
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	publish(10_000) // all sampled: the queue is full
	before := heap()
	publish(30_000) // some 45 MB, if they were kept
	if after := heap(); after > before+15<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	for log.String() == "" { // the first export has failed
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); err == nil { // nor does the end wait for it
		t.Error("it has delivered to a collector that never answered")
	}
	_ = l.Close()
	// What was on its way when Shutdown gave up ends soon after it; its errors
	// would go to the next test's log.
	stacks := make([]byte, 1<<20)
	for bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("batchSpanProcessor).")) {
		time.Sleep(time.Millisecond)
	}
	most := 1 + int(time.Since(began)/time.Minute) // one a minute: a busy machine may take longer than one
	if n := strings.Count(log.String(), "\n"); n > most || !strings.Contains(log.String(), "telemetry cannot be exported") {
		t.Errorf("the log has %d lines:\n%s", n, log.String())
	}
}

func TestExportErrorsAreLoggedOnceAMinute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newRig(t, telemetry.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, stream.HubOptions{})
		for range 600 {
			otel.Handle(errors.New("the collector is away"))
			time.Sleep(time.Second)
		}
		r.close()
		if n := strings.Count(log.String(), "the collector is away"); n != 10 {
			t.Errorf("ten minutes made %d lines", n)
		}
		if !strings.Contains(log.String(), "not_logged=59") {
			t.Error("the log does not say how many it leaves out")
		}
	})
}

// TestMemoryOfAConnection holds some thousands, with the request that the
// middleware made, as the server does while a stream is open.
func TestMemoryOfAConnection(t *testing.T) {
	if os.Getenv("TELEMETRY_ALONE") == "" {
		// In a process of its own: what other tests left would be counted too.
		alone := exec.Command(os.Args[0], "-test.run=^TestMemoryOfAConnection$", "-test.v")
		alone.Env = append(os.Environ(), "TELEMETRY_ALONE=1")
		out, err := alone.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return
	}
	clearEnv(t) // and no bubble: one holds timers for longer than they run
	r := newRig(t, telemetry.Options{}, stream.HubOptions{})
	defer r.close()
	each := memoryOfAConnection(r)
	t.Logf("a connection costs %d bytes", each)
	if each > 1536 || each < 100 {
		t.Errorf("a connection costs %d bytes", each)
	}
}

func memoryOfAConnection(r *rig) int64 {
	const connections = 4000
	type open struct {
		r     *http.Request
		hooks stream.ConnHooks
	}
	held := make([]open, 0, connections)
	hooks := r.tel.Hooks()
	conns := make([]stream.Conn, connections)
	for i := range conns {
		conns[i] = stream.Conn{ID: fmt.Sprint("c", i), Topic: "sensor", Protocol: "1.1", Format: "json", Started: time.Now()}
	}
	next := r.tel.Middleware("/sse-stream", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		o := open{req, hooks.Connect(req, &conns[len(held)])}
		o.hooks.Open(time.Now())
		held = append(held, o)
	}))
	// Each request is one that the server would have had anyway.
	requests := make([]http.Request, connections)
	for i := range requests {
		requests[i] = *httptest.NewRequest("GET", "/sse-stream", nil)
	}
	w := httptest.NewRecorder()
	heap := func() uint64 {
		for range 3 {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	r.spans.Reset()
	before := heap()
	for i := range requests {
		next.ServeHTTP(w, &requests[i])
	}
	r.spans.Reset()
	each := (int64(heap()) - int64(before)) / connections
	runtime.KeepAlive(requests)
	runtime.KeepAlive(held)
	return each
}
