package telemetry_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"weir/stream"
	"weir/telemetry"
)

func TestActiveAndLag(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		block := make(chan struct{})
		stuck := r.connect("/sse-stream", nil, func(n int) {
			if n > 1 {
				<-block
			}
		})
		fine := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		r.publish(`1`)
		synctest.Wait()
		r.publish(`2`, `3`, `4`)
		synctest.Wait()
		_, events, _ := strings.Cut(fine.text(), "\n\n") // behind connected
		r.expect("sse.server.active_connections", "network.protocol.version=1.1,sse.topic=sensor", 2)
		r.expect("sse.server.lag", "sse.topic=sensor", 4) // the event whose write waits was not sent, either
		r.expect("sse.server.io", "sse.topic=sensor", float64(len(events)))
		close(block)
		synctest.Wait()
		r.expect("sse.server.lag", "sse.topic=sensor", 0)
		stuck.leave()
		fine.leave()
		r.expect("sse.server.active_connections", "network.protocol.version=1.1,sse.topic=sensor", 0)
		r.close()
	})
}

// TestLatencyBuckets puts deliveries of known length into the histogram.
func TestLatencyBuckets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		lengths := []time.Duration{0, 50 * time.Microsecond, 51 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 70 * time.Millisecond, 5 * time.Second, 6 * time.Second}
		c := r.connect("/sse-stream", nil, func(n int) {
			if n > 1 {
				time.Sleep(lengths[n-2])
			}
		})
		for range lengths {
			synctest.Wait()
			r.publish(`1`)
			time.Sleep(10 * time.Second)
		}
		c.leave()
		r.close()
		h := r.collect()["sse.server.delivery.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0]
		want := map[float64]uint64{0.00005: 2, 0.0001: 1, 0.0005: 1, 0.001: 1, 0.005: 1, 0.1: 1, 5: 1, 10: 1}
		for i, bound := range h.Bounds {
			if h.BucketCounts[i] != want[bound] {
				t.Errorf("%d deliveries up to %v s, want %d", h.BucketCounts[i], bound, want[bound])
			}
		}
		if h.BucketCounts[len(h.Bounds)] != 0 || h.Count != 9 || h.Bounds[0] != 50e-6 || h.Bounds[len(h.Bounds)-1] != 60 {
			t.Errorf("the histogram is %+v", h)
		}
		spans := map[string]bool{}
		for _, s := range named(r.ended(), "deliver ") {
			spans[s.SpanContext().SpanID().String()] = true
		}
		for _, e := range h.Exemplars {
			if !spans[fmt.Sprintf("%x", e.SpanID)] {
				t.Errorf("the exemplar %x is no deliver span", e.SpanID)
			}
		}
		if len(h.Exemplars) != 8 {
			t.Errorf("%d exemplars", len(h.Exemplars))
		}
	})
}

func TestPrometheus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		r.publish(`1`)
		time.Sleep(3 * time.Second) // until the event is known
		route := r.tel.Middleware("/other", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
		for i := range 50 {
			req := http.Header{"X-Forwarded-For": {fmt.Sprint("192.0.2.", i)}}
			serve(route, "GET", fmt.Sprintf("http://host-%d.example:%d/other", i, 1000+i), req)
		}
		serve(route, "GET", "http://"+strings.Repeat("a", 200)+"/other", nil)
		text := serve(r.tel.MetricsHandler(), "GET", "/metrics", nil).Body.String()
		for _, line := range []string{
			`sse_server_active_connections{network_protocol_version="1.1",sse_topic="sensor"} 1`,
			`sse_server_events_published_total{sse_event_type="weir.event",sse_topic="sensor"} 1`,
			`sse_server_events_delivered_total{sse_delivery_kind="live",sse_topic="sensor"} 1`,
			`sse_server_delivery_duration_seconds_count{sse_topic="sensor"} 1`,
			`sse_server_lag{sse_topic="sensor"} 0`,
			`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/other",network_protocol_version="1.1",url_scheme="http"} 51`,
			`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/sse-stream",network_protocol_version="1.1",url_scheme="http"} 1`,
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %s", line)
			}
		}
		for _, never := range []string{"host-7", "192.0.2", "# {", r.handler.Conns()[0].ID} {
			if strings.Contains(text, never) {
				t.Errorf("the metrics have %q", never)
			}
		}
		if !strings.Contains(text, "go_goroutine_count ") {
			t.Error("no metrics of the Go runtime")
		}
		open := serve(r.tel.MetricsHandler(), "GET", "/metrics", http.Header{"Accept": {"application/openmetrics-text;version=1.0.0"}})
		if got := open.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
			t.Errorf("the content type is %s", got)
		}
		deliver := named(r.ended(), "deliver ")[0].SpanContext()
		exemplar := regexp.MustCompile(`sse_server_delivery_duration_seconds_bucket\{sse_topic="sensor",le="5e-05"\} 1 # \{(span_id="` + deliver.SpanID().String() + `",trace_id="` + deliver.TraceID().String() + `"|trace_id="` + deliver.TraceID().String() + `",span_id="` + deliver.SpanID().String() + `")\} 0`)
		if !exemplar.MatchString(open.Body.String()) {
			t.Errorf("no exemplar in\n%s", strings.Join(regexp.MustCompile(`(?m)^sse_server_delivery.*$`).FindAllString(open.Body.String(), -1), "\n"))
		}
		if !regexp.MustCompile(`(?m)^http_server_request_duration_seconds_bucket.*/other.* # \{`).MatchString(open.Body.String()) {
			t.Error("the metrics of other requests have no exemplars")
		}
		c.leave()
		r.close()
	})
}

func TestDisabled(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_SDK_DISABLED", "TRUE")
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks()})
		if err := hub.AddTopic("sensor"); err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, tel: tel, hub: hub, handler: &stream.Handler{Hub: hub, Format: stream.FormatJSON}}
		r.http = tel.Middleware("/sse-stream", r.handler)
		c := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		r.publish(`1`)
		serve(r.publisher(true), "POST", "/publish", http.Header{"Traceparent": {foreign}})
		synctest.Wait()
		c.leave()
		hub.Close()
		if text := c.text(); !strings.Contains(text, `"traceparent":""`) || strings.Count(text, `"traceparent":"00-`) != 1 || !strings.Contains(text, foreign) {
			t.Errorf("the stream is\n%s", text)
		}
	})
	if w := serve(tel.MetricsHandler(), "GET", "/metrics", nil); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("the metrics are %d %s", w.Code, w.Body)
	}
	if w := serve(tel.Middleware("/", http.NotFoundHandler()), "GET", "/", nil); w.Code != http.StatusNotFound {
		t.Errorf("a request gets %d", w.Code)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
