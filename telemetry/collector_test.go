package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collectlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"weir/stream"
	"weir/telemetry"
)

// A collector takes OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	paths   map[string]int
	spans   map[string][]string // names by service
	hosts   map[string]bool
	metrics map[string]bool
	logs    []string // messages of those with a trace
}

func newCollector(t *testing.T) *collector {
	c := &collector{paths: map[string]int{}, spans: map[string][]string{}, hosts: map[string]bool{}, metrics: map[string]bool{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paths[r.URL.Path]++
		switch r.URL.Path {
		case "/v1/traces":
			var req collecttrace.ExportTraceServiceRequest
			err = proto.Unmarshal(body, &req)
			for _, rs := range req.ResourceSpans {
				service := ""
				for _, a := range rs.Resource.Attributes {
					switch a.Key {
					case "service.name":
						service = a.Value.GetStringValue()
					case "host.name", "service.version", "service.instance.id":
						c.hosts[a.Key+"="+a.Value.GetStringValue()] = true
					}
				}
				for _, ss := range rs.ScopeSpans {
					for _, s := range ss.Spans {
						c.spans[service] = append(c.spans[service], s.Name)
					}
				}
			}
		case "/v1/metrics":
			var req collectmetrics.ExportMetricsServiceRequest
			err = proto.Unmarshal(body, &req)
			for _, rm := range req.ResourceMetrics {
				for _, sm := range rm.ScopeMetrics {
					for _, m := range sm.Metrics {
						c.metrics[m.Name] = true
					}
				}
			}
		case "/v1/logs":
			var req collectlogs.ExportLogsServiceRequest
			err = proto.Unmarshal(body, &req)
			for _, rl := range req.ResourceLogs {
				for _, sl := range rl.ScopeLogs {
					for _, l := range sl.LogRecords {
						if len(l.TraceId) > 0 {
							c.logs = append(c.logs, l.Body.GetStringValue())
						}
					}
				}
			}
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// run has one client and one event, over the real clock.
func run(t *testing.T, tel *telemetry.Telemetry) {
	t.Helper()
	hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks()})
	defer hub.Close()
	if err := hub.AddTopic("sensor"); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, tel: tel, hub: hub, handler: &stream.Handler{Hub: hub}}
	r.http = tel.Middleware("/sse-stream", r.handler)
	delivered := make(chan struct{})
	c := r.connect("/sse-stream", nil, func(n int) {
		switch n {
		case 1:
			go func() {
				if _, err := hub.Publish(t.Context(), "sensor", stream.Event{Data: []byte(`1`)}); err != nil {
					t.Error(err)
				}
			}()
		case 2:
			close(delivered)
		}
	})
	<-delivered
	if err := r.handler.Drain(t.Context(), 0); err != nil {
		t.Error(err)
	}
	c.wait()
}
