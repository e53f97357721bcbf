package telemetry_test

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	"weir/stream"
	"weir/telemetry"
)

// The registry, as registry.yaml has it.
type registry struct {
	Attributes []struct {
		ID, Type, Brief, Bounded string
		Members, Examples        []string
	}
	Spans []struct {
		Name, Kind, Service, Brief string
		Attributes, Conventional   []string
	}
	Metrics []struct {
		Name, Instrument, Unit, Brief string
		Attributes                    []string
	}
}

func readRegistry(t *testing.T) registry {
	t.Helper()
	f, err := os.Open("registry.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var reg registry
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&reg); err != nil {
		t.Fatal(err)
	}
	return reg
}

// everything makes each span and each metric there is, with what hostile
// clients and publishers can choose as varied as can be.
func everything(t *testing.T) *rig {
	r := newRig(t, telemetry.Options{EventTypes: []string{stream.DefaultType, "reading"}}, stream.HubOptions{Topic: stream.TopicOptions{History: 8}})
	r.handler.Heartbeat = 15 * time.Second
	publish := func(e stream.Event) {
		if _, err := r.hub.Publish(t.Context(), "sensor", e); err != nil {
			t.Fatal(err)
		}
	}
	clients := []*client{r.connect("/sse-stream", nil, nil)}
	synctest.Wait()
	for i := range 100 {
		publish(stream.Event{Data: []byte(`1`), Type: fmt.Sprintf("type.%d", i)})
		time.Sleep(100 * time.Millisecond)
		r.connect(fmt.Sprintf("/sse-stream?topic=t%d", i), nil, nil).wait()
	}
	publish(stream.Event{Data: []byte(`1`), Type: "reading"})
	publish(stream.Event{Data: []byte(`1`)})
	clients = append(clients, r.connect("/sse-stream?last_event_id=1-0", nil, nil))
	clients = append(clients, r.connect("/sse-stream", nil, func(n int) {
		if n > 1 {
			panic("broken")
		}
	}))
	slow := r.connect("/sse-stream", nil, func(n int) { time.Sleep(5 * time.Second) })
	clients = append(clients, slow)
	for range 30 {
		publish(stream.Event{Data: []byte(`1`)})
		time.Sleep(500 * time.Millisecond)
	}
	event := named(r.ended(), "send ")[0]
	sc := event.SpanContext()
	page := browser{r: r}
	page.send(report{"topic": "x", "id": attr(event, "sse.event.id").AsString(), "traceparent": "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-01",
		"received": millis(event.EndTime().Add(time.Millisecond)), "shown": millis(event.EndTime().Add(2 * time.Millisecond))})
	page.send(report{"id": "1-1", "traceparent": foreign, "received": millis(time.Now()), "shown": millis(time.Now())})
	time.Sleep(time.Minute)
	for _, c := range clients {
		c.leave()
	}
	if err := r.hub.EndTopic("sensor", "done"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.hub.Publish(t.Context(), "sensor", stream.Event{Data: []byte(`1`)}); err == nil {
		t.Fatal("a topic that has ended takes events")
	}
	r.connect("/sse-stream", nil, nil).wait()
	r.close()
	return r
}

// TestRegistry holds the code to registry.yaml.
func TestRegistry(t *testing.T) {
	reg := readRegistry(t)
	known := map[string]struct {
		bounded string
		members []string
	}{}
	for _, a := range reg.Attributes {
		known[a.ID] = struct {
			bounded string
			members []string
		}{a.Bounded, a.Members}
		if a.Brief == "" || a.Type == "" {
			t.Errorf("attribute %s lacks a description or a type", a.ID)
		}
	}
	configured := map[string][]string{"topic": {"sensor", "_OTHER"}, "sse.event.type": {"weir.event", "reading", "_OTHER"}}

	bubble(t, func(t *testing.T) {
		r := everything(t)
		own := map[string]metricdata.Metrics{}
		for name, m := range r.collect() {
			if strings.HasPrefix(name, "sse.") || strings.HasPrefix(name, "weir.") {
				own[name] = m
			}
		}
		for _, want := range reg.Metrics {
			m, made := own[want.Name]
			delete(own, want.Name)
			if !made {
				t.Errorf("nothing makes %s", want.Name)
				continue
			}
			instrument, points := describe(m)
			if instrument != want.Instrument || m.Unit != want.Unit || m.Description != want.Brief {
				t.Errorf("%s is a %s, %s, %q; the registry has %s, %s, %q", want.Name, instrument, m.Unit, m.Description, want.Instrument, want.Unit, want.Brief)
			}
			used := map[string]bool{}
			for _, set := range points {
				for _, kv := range set.ToSlice() {
					key, value := string(kv.Key), kv.Value.String()
					used[key] = true
					bound := known[key]
					switch bound.bounded {
					case "members":
						if !slices.Contains(bound.members, value) {
							t.Errorf("%s: %s=%s is not a member", want.Name, key, value)
						}
					case "configuration":
						if !slices.Contains(configured[key], value) {
							t.Errorf("%s: %s=%s is not configured", want.Name, key, value)
						}
					default:
						t.Errorf("%s: %s may be unbounded", want.Name, key)
					}
				}
			}
			if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, slices.Sorted(slices.Values(want.Attributes))) {
				t.Errorf("%s has the attributes %v, the registry %v", want.Name, got, want.Attributes)
			}
		}
		for name := range own {
			t.Errorf("%s is not in the registry", name)
		}

		seen := map[string]map[string]bool{}
		for _, s := range r.ended() {
			name := strings.Replace(s.Name(), " sensor", " {topic}", 1)
			i := slices.IndexFunc(reg.Spans, func(want struct {
				Name, Kind, Service, Brief string
				Attributes, Conventional   []string
			}) bool {
				return want.Name == name
			})
			if i < 0 {
				t.Errorf("span %s is not in the registry", name)
				continue
			}
			want := reg.Spans[i]
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			service, _ := s.Resource().Set().Value("service.name")
			if s.SpanKind().String() != want.Kind || service.AsString() != cmpOr(want.Service, "weir") {
				t.Errorf("span %s is a %s of %s", name, s.SpanKind(), service.AsString())
			}
			for _, a := range s.Attributes() {
				key := string(a.Key)
				switch {
				case slices.Contains(want.Attributes, key):
					seen[name][key] = true
					if _, ok := known[key]; !ok {
						t.Errorf("attribute %s is not described", key)
					}
				case !slices.Contains(want.Conventional, key):
					t.Errorf("span %s has the attribute %s", name, key)
				}
			}
		}
		for _, want := range reg.Spans {
			for _, key := range want.Attributes {
				if rare := key == "error.type" && want.Kind == "server" || key == "sse.close.reason" && want.Kind == "server" ||
					key == "sse.stream.id" && want.Kind == "consumer"; !rare && !seen[want.Name][key] {
					t.Errorf("no span %s has %s", want.Name, key)
				}
			}
		}
	})
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// describe says what kind of instrument a metric is of, and gives its sets of
// attributes.
func describe(m metricdata.Metrics) (instrument string, points []attribute.Set) {
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		instrument = "counter"
		if !data.IsMonotonic {
			instrument = "updowncounter"
		}
		for _, p := range data.DataPoints {
			points = append(points, p.Attributes)
		}
	case metricdata.Gauge[int64]:
		instrument = "gauge"
		for _, p := range data.DataPoints {
			points = append(points, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		instrument = "histogram"
		for _, p := range data.DataPoints {
			points = append(points, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		instrument = "histogram"
		for _, p := range data.DataPoints {
			points = append(points, p.Attributes)
		}
	}
	return instrument, points
}

// TestRegistryHasEveryReason holds the list in the registry to what the stream
// and the HTTP surface can say.
func TestRegistryHasEveryReason(t *testing.T) {
	reg := readRegistry(t)
	for _, a := range reg.Attributes {
		if a.ID != "reason" {
			continue
		}
		var missing []string
		for _, reason := range append(telemetry.Reasons, "_OTHER") {
			if !slices.Contains(a.Members, reason) {
				missing = append(missing, reason)
			}
		}
		if len(missing) > 0 || len(a.Members) != len(telemetry.Reasons)+1 {
			t.Errorf("the registry lacks the reasons %v; it has %d, the code %d", missing, len(a.Members), len(telemetry.Reasons)+1)
		}
	}
}

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
		first := r.publish(`1`)[0]
		synctest.Wait()
		r.publish(`2`, `3`, `4`)
		synctest.Wait()
		r.expect("sse.server.active_connections", "network.protocol.version=1.1,topic=sensor", 2)
		r.expect("sse.server.lag", "topic=sensor", 3)
		r.expect("sse.server.io", "topic=sensor", float64(len(fine.text())-strings.Index(fine.text(), "id: "+first.String())))
		close(block)
		synctest.Wait()
		r.expect("sse.server.lag", "topic=sensor", 0)
		stuck.leave()
		fine.leave()
		r.expect("sse.server.active_connections", "network.protocol.version=1.1,topic=sensor", 0)
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
		want := map[float64]uint64{0.00005: 2, 0.0001: 1, 0.0005: 1, 0.001: 1, 0.005: 1, 0.1: 1, 5: 1}
		for i, bound := range h.Bounds {
			if h.BucketCounts[i] != want[bound] {
				t.Errorf("%d deliveries up to %v s, want %d", h.BucketCounts[i], bound, want[bound])
			}
		}
		if h.BucketCounts[len(h.Bounds)] != 1 || h.Count != 9 || h.Bounds[0] != 50e-6 || h.Bounds[len(h.Bounds)-1] != 5 {
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
		synctest.Wait()
		route := r.tel.Middleware("/livez", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
		for i := range 50 {
			req := http.Header{"X-Forwarded-For": {fmt.Sprint("192.0.2.", i)}}
			serve(route, "GET", fmt.Sprintf("http://host-%d.example:%d/livez", i, 1000+i), req)
		}
		serve(route, "GET", "http://"+strings.Repeat("a", 200)+"/livez", nil)
		text := serve(r.tel.MetricsHandler(), "GET", "/metrics", nil).Body.String()
		for _, line := range []string{
			`sse_server_active_connections{network_protocol_version="1.1",topic="sensor"} 1`,
			`sse_server_events_published_total{sse_event_type="weir.event",topic="sensor"} 1`,
			`sse_server_events_delivered_total{sse_delivery_kind="live",topic="sensor"} 1`,
			`sse_server_delivery_duration_seconds_count{topic="sensor"} 1`,
			`sse_server_lag{topic="sensor"} 0`,
			`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/livez",network_protocol_version="1.1",url_scheme="http"} 51`,
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
		exemplar := regexp.MustCompile(`sse_server_delivery_duration_seconds_bucket\{topic="sensor",le="5e-05"\} 1 # \{(span_id="` + deliver.SpanID().String() + `",trace_id="` + deliver.TraceID().String() + `"|trace_id="` + deliver.TraceID().String() + `",span_id="` + deliver.SpanID().String() + `")\} 0`)
		if !exemplar.MatchString(open.Body.String()) {
			t.Errorf("no exemplar in\n%s", strings.Join(regexp.MustCompile(`(?m)^sse_server_delivery.*$`).FindAllString(open.Body.String(), -1), "\n"))
		}
		if !regexp.MustCompile(`(?m)^http_server_request_duration_seconds_bucket.*/livez.* # \{`).MatchString(open.Body.String()) {
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
		r := &rig{t: t, tel: tel, hub: hub, handler: &stream.Handler{Hub: hub}}
		r.http = tel.StreamMiddleware(r.handler)
		c := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		r.publish(`1`)
		synctest.Wait()
		c.leave()
		hub.Close()
		if text := c.text(); !strings.Contains(text, `"traceparent":""`) || strings.Contains(text, `"traceparent":"00-`) {
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
