package telemetry_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry"
)

// A rig is a server with telemetry, without a network.
type rig struct {
	t       *testing.T
	tel     *telemetry.Telemetry
	hub     *stream.Hub
	handler *stream.Handler
	http    http.Handler
	spans   *tracetest.SpanRecorder
	reader  *sdkmetric.ManualReader
	began   time.Time
	final   map[string]metricdata.Metrics // at the end
}

// newRig makes a server with the topic "sensor". It pings only once in 1000 h.
func newRig(t *testing.T, opts telemetry.Options, hubOpts stream.HubOptions) *rig {
	t.Helper()
	r := &rig{t: t, spans: tracetest.NewSpanRecorder(), began: time.Now()}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.SpanProcessors = append(opts.SpanProcessors, r.spans)
	opts.Readers = append(opts.Readers, func(p sdkmetric.Producer) sdkmetric.Reader {
		r.reader = sdkmetric.NewManualReader(sdkmetric.WithProducer(p))
		return r.reader
	})
	var err error
	if r.tel, err = telemetry.Setup(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	hubOpts.Hooks = r.tel.Hooks()
	r.hub = stream.NewHub(hubOpts)
	if err := r.hub.AddTopic("sensor"); err != nil {
		t.Fatal(err)
	}
	r.handler = &stream.Handler{Hub: r.hub, Format: stream.FormatJSON, Heartbeat: time.Hour * 1000}
	r.tel.Observe(r.handler)
	r.http = r.tel.Middleware("/sse-stream", r.handler)
	return r
}

// close ends everything, so that a synctest bubble can end.
func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.handler.Drain(ctx, 0); err != nil {
		r.t.Errorf("draining: %v", err)
	}
	r.hub.Close()
	r.final = r.collect()
	if err := r.tel.Shutdown(ctx); err != nil {
		r.t.Errorf("shutting down: %v", err)
	}
}

func (r *rig) publish(data ...string) []stream.ID {
	r.t.Helper()
	events := make([]stream.Event, len(data))
	for i, d := range data {
		events[i].Data = []byte(d)
	}
	ids, err := r.hub.Publish(r.t.Context(), "sensor", events...)
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

// A client is one connection. Its writer is the network.
type client struct {
	cancel context.CancelFunc
	done   chan struct{}
	panic  any // what the handler panicked with

	onWrite func(n int) // called before write n, from 1

	mu     sync.Mutex
	header http.Header
	status int
	body   bytes.Buffer
	writes int
}

func (c *client) Header() http.Header { return c.header }
func (c *client) FlushError() error   { return nil }
func (c *client) WriteHeader(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == 0 {
		c.status = code
	}
}
func (c *client) SetWriteDeadline(time.Time) error { return nil }

func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	n := c.writes
	c.mu.Unlock()
	if c.onWrite != nil {
		c.onWrite(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.body.Write(p)
}

func (c *client) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.body.String()
}

// wait returns when the stream is over.
func (c *client) wait() { <-c.done }

// leave ends the stream from the client's side.
func (c *client) leave() {
	c.cancel()
	<-c.done
}

// connect opens a stream; onWrite may be nil. It returns at once.
func (r *rig) connect(target string, header http.Header, onWrite func(int)) *client {
	c := &client{done: make(chan struct{}), header: http.Header{}, onWrite: onWrite}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	for name, values := range header {
		req.Header[name] = values
	}
	go func() {
		defer close(c.done)
		defer func() { c.panic = recover() }()
		r.http.ServeHTTP(c, req)
	}()
	return c
}

// ended returns the spans that ended, in the order in which they began, those
// of a parent before its children.
func (r *rig) ended() []sdktrace.ReadOnlySpan {
	spans := slices.Clone(r.spans.Ended())
	slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int {
		return cmp.Or(a.StartTime().Compare(b.StartTime()), cmp.Compare(rank(a), rank(b)))
	})
	return spans
}

// rank is the order of spans that began at once, parents first.
func rank(s sdktrace.ReadOnlySpan) int {
	for i, prefix := range []string{"GET ", "POST ", "event ", "send ", "receive ", "stream ", "deliver ", "process "} {
		if strings.HasPrefix(s.Name(), prefix) {
			return i
		}
	}
	return -1
}

func named(spans []sdktrace.ReadOnlySpan, prefix string) []sdktrace.ReadOnlySpan {
	return slices.DeleteFunc(slices.Clone(spans), func(s sdktrace.ReadOnlySpan) bool { return !strings.HasPrefix(s.Name(), prefix) })
}

func attr(s sdktrace.ReadOnlySpan, key string) attribute.Value {
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

// tree writes the spans as a tree, one trace after the other. IDs become
// numbers: a span's is its place in the list, a stream's likewise.
func (r *rig) tree() string {
	spans := r.ended()
	number := map[trace.SpanID]string{}
	streams := map[string]string{}
	children := map[trace.SpanID][]sdktrace.ReadOnlySpan{}
	var roots []sdktrace.ReadOnlySpan
	for i, s := range spans {
		number[s.SpanContext().SpanID()] = fmt.Sprint("#", i+1)
		if id := attr(s, "sse.connection.id").AsString(); id != "" && streams[id] == "" {
			streams[id] = fmt.Sprint("stream-", len(streams)+1)
		}
	}
	for _, s := range spans {
		if _, known := number[s.Parent().SpanID()]; known {
			children[s.Parent().SpanID()] = append(children[s.Parent().SpanID()], s)
		} else {
			roots = append(roots, s)
		}
	}
	var b strings.Builder
	var write func(s sdktrace.ReadOnlySpan, depth int)
	write = func(s sdktrace.ReadOnlySpan, depth int) {
		indent := strings.Repeat("  ", depth)
		fmt.Fprintf(&b, "%s%s %s [%s] %s..%s", indent, number[s.SpanContext().SpanID()], s.Name(), s.SpanKind(), s.StartTime().Sub(r.began), s.EndTime().Sub(r.began))
		if s.Parent().IsValid() && s.Parent().IsRemote() {
			fmt.Fprintf(&b, " child of remote %s", s.Parent().SpanID())
		}
		for _, l := range s.Links() {
			to := number[l.SpanContext.SpanID()]
			if to == "" {
				to = l.SpanContext.SpanID().String()
			}
			set := attribute.NewSet(l.Attributes...)
			fmt.Fprintf(&b, " link(%s %s)", set.Encoded(attribute.DefaultEncoder()), to)
		}
		if s.Status().Description != "" {
			fmt.Fprintf(&b, " %s: %s", s.Status().Code, s.Status().Description)
		}
		b.WriteByte('\n')
		var attrs []string
		for _, a := range s.Attributes() {
			value := a.Value.String()
			if named := streams[value]; named != "" {
				value = named
			}
			attrs = append(attrs, string(a.Key)+"="+value)
		}
		slices.Sort(attrs)
		for _, a := range attrs {
			fmt.Fprintf(&b, "%s    %s\n", indent, a)
		}
		for _, c := range children[s.SpanContext().SpanID()] {
			write(c, depth+1)
		}
	}
	for _, s := range roots {
		write(s, 0)
	}
	return b.String()
}

// noOrphans fails for a span whose parent was not exported, unless it is the
// publisher's.
func (r *rig) noOrphans(publishers ...trace.SpanID) {
	r.t.Helper()
	known := map[trace.SpanID]trace.TraceID{}
	for _, s := range r.spans.Ended() {
		if _, twice := known[s.SpanContext().SpanID()]; twice {
			r.t.Errorf("span %s was exported twice", s.Name())
		}
		known[s.SpanContext().SpanID()] = s.SpanContext().TraceID()
	}
	for _, s := range r.spans.Ended() {
		parent := s.Parent()
		if !parent.IsValid() || slices.Contains(publishers, parent.SpanID()) {
			continue
		}
		if id, ok := known[parent.SpanID()]; !ok || id != s.SpanContext().TraceID() {
			r.t.Errorf("span %s is an orphan", s.Name())
		}
	}
}

// collect reads the metrics by name.
func (r *rig) collect() map[string]metricdata.Metrics {
	r.t.Helper()
	if r.final != nil {
		return r.final
	}
	var rm metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &rm); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]metricdata.Metrics{}
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// value returns the sum, the gauge or the count of a histogram with these
// attributes, written key=value,key=value.
func (r *rig) value(name, attrs string) float64 {
	r.t.Helper()
	is := func(s attribute.Set) bool { return s.Encoded(attribute.DefaultEncoder()) == attrs }
	switch data := r.collect()[name].Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			if is(p.Attributes) {
				return float64(p.Value)
			}
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			if is(p.Attributes) {
				return p.Value
			}
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			if is(p.Attributes) {
				return float64(p.Value)
			}
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			if is(p.Attributes) {
				return float64(p.Count)
			}
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			if is(p.Attributes) {
				return float64(p.Count)
			}
		}
	}
	return 0
}

func (r *rig) expect(name, attrs string, want float64) {
	r.t.Helper()
	if got := r.value(name, attrs); got != want {
		r.t.Errorf("%s{%s} = %v, want %v", name, attrs, got, want)
	}
}

// clearEnv makes the test independent of OTEL_* around it.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range []string{"OTEL_CONFIG_FILE", "OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER",
		"OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"} {
		t.Setenv(name, "")
	}
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	clearEnv(t)
	synctest.Test(t, f)
}

var _ io.Writer = (*client)(nil)
