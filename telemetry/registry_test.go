package telemetry_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry"
)

// A group is an entry of the registry, as OpenTelemetry Weaver reads it.
type group struct {
	ID, Type, Brief, Note, Stability string
	DisplayName                      string `yaml:"display_name"`
	SpanKind                         string `yaml:"span_kind"`
	MetricName                       string `yaml:"metric_name"`
	Name, Instrument, Unit           string
	Events                           []string
	Annotations                      struct{ Name, Service string }
	Attributes                       []struct {
		Ref, ID, Brief, Note, Stability string
		Level                           any `yaml:"requirement_level"` // a word, or conditionally_required with when
		Type                            any
		Examples                        []any
		Annotations                     struct{ Bounded string }
	}
}

func (g group) refs() (list []string) {
	for _, a := range g.Attributes {
		list = append(list, a.Ref)
	}
	return list
}

func readRegistry(t *testing.T) (groups []group) {
	t.Helper()
	for _, name := range []string{"attributes", "spans", "metrics"} {
		f, err := os.Open("registry/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var file struct {
			Groups  []group
			Imports map[string][]string
		}
		d := yaml.NewDecoder(f)
		d.KnownFields(true)
		if err := d.Decode(&file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		groups = append(groups, file.Groups...)
	}
	return groups
}

// imported are attributes of the semantic conventions that the registry refers to.
var imported = []string{
	"session.id", "user.id", "error.type", "client.address", "user_agent.original", "network.protocol.version", "network.peer.address", "network.peer.port",
	"server.address", "server.port", "url.path", "url.scheme", "http.request.method", "http.response.status_code", "http.route",
	"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name", "messaging.message.body.size",
	"db.system.name", "db.operation.name",
}

// TestRegistryIsWhole checks what Weaver would: that each reference is defined
// once, and everything has a description and a stability.
func TestRegistryIsWhole(t *testing.T) {
	defined, ids := slices.Clone(imported), map[string]bool{}
	groups := readRegistry(t)
	for _, g := range groups {
		if ids[g.ID] || g.Brief == "" || g.Stability == "" && g.Type != "attribute_group" {
			t.Errorf("group %s is there twice, or lacks a description or a stability", g.ID)
		}
		ids[g.ID] = true
		for _, a := range g.Attributes {
			if a.ID == "" {
				continue
			}
			if slices.Contains(defined, a.ID) || a.Brief == "" || a.Type == nil || a.Stability == "" {
				t.Errorf("attribute %s is there twice, or lacks a description, type or stability", a.ID)
			}
			defined = append(defined, a.ID)
		}
	}
	for _, g := range groups {
		for _, ref := range g.refs() {
			if ref != "" && !slices.Contains(defined, ref) {
				t.Errorf("%s refers to %s, which is not defined", g.ID, ref)
			}
		}
		for _, e := range g.Events {
			if !ids[e] {
				t.Errorf("%s refers to %s", g.ID, e)
			}
		}
	}
	var manifest struct {
		SchemaURL    string `yaml:"schema_url"`
		Dependencies []struct {
			SchemaURL string `yaml:"schema_url"`
		}
	}
	b, err := os.ReadFile("registry/manifest.yaml")
	if err != nil || yaml.Unmarshal(b, &manifest) != nil || manifest.SchemaURL != telemetry.SchemaURL || len(manifest.Dependencies) != 1 || manifest.Dependencies[0].SchemaURL != telemetry.ConventionsURL {
		t.Errorf("the manifest is %+v, %v; the code has %s and %s", manifest, err, telemetry.SchemaURL, telemetry.ConventionsURL)
	}
}

// everything makes each span and each metric there is, with what hostile
// clients and publishers can choose as varied as can be.
func everything(t *testing.T) *rig {
	r := newRig(t, telemetry.Options{EventTypes: []string{eventlog.DefaultType, "reading"}, RejectReasons: []string{"mine"}}, stream.HubOptions{Topic: stream.TopicOptions{History: 8}})
	r.handler.Heartbeat = 15 * time.Second
	if err := r.hub.AddSource("sensor", stream.SourceFunc(func(ctx context.Context, _ stream.Publisher) error { <-ctx.Done(); return ctx.Err() })); err != nil {
		t.Fatal(err)
	}
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
	const timeToLoss = "sse.server.time_to_loss" // which is there while somebody lags
	lagging := r.collect()[timeToLoss]
	event := named(r.ended(), "send ")[0]
	sc := event.Parent()
	page := clients[0].page(r)
	page.send(report{"topic": "sensor", "id": attr(event, "sse.event.id").AsString(), "traceparent": "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-01",
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
	r.final[timeToLoss] = lagging
	return r
}

// TestRegistry holds the code to the registry.
func TestRegistry(t *testing.T) {
	groups := readRegistry(t)
	bounded, members := map[string]string{"network.protocol.version": "members", "error.type": "members"}, map[string][]string{
		"network.protocol.version": {"1.0", "1.1", "2", "3"}, "error.type": {"timeout", "reset", "write", "panic", "publish"},
		"sse.reject.reason": append([]string{"_OTHER", "mine"}, stream.RejectReasons...),
	}
	for _, a := range groups[0].Attributes {
		bounded[a.ID] = a.Annotations.Bounded
		if enum, ok := a.Type.(map[string]any); ok {
			for _, m := range enum["members"].([]any) {
				members[a.ID] = append(members[a.ID], fmt.Sprint(m.(map[string]any)["value"]))
			}
		}
	}
	for key, values := range telemetry.Bounded() {
		if got, want := slices.Sorted(slices.Values(members[key])), slices.Sorted(slices.Values(values)); !slices.Equal(got, want) {
			t.Errorf("%s has the members %v, the code %v", key, got, want)
		}
	}
	configured := map[string][]string{"sse.topic": {"sensor", "_OTHER"}, "sse.event.type": {"weir.event", "reading", "_OTHER"}}

	bubble(t, func(t *testing.T) {
		r := everything(t)
		own := map[string]metricdata.Metrics{}
		for name, m := range r.collect() {
			if strings.HasPrefix(name, "sse.") || strings.HasPrefix(name, "weir.") {
				own[name] = m
			}
		}
		spans := map[string]group{}
		for _, g := range groups {
			if g.Type == "span" {
				spans[g.Annotations.Name] = g
			}
			if g.Type != "metric" {
				continue
			}
			m, made := own[g.MetricName]
			delete(own, g.MetricName)
			if !made {
				if rare := strings.Contains(g.MetricName, ".broker."); !rare {
					t.Errorf("nothing makes %s", g.MetricName)
				}
				continue
			}
			instrument, points := describe(m)
			if instrument != g.Instrument || m.Unit != g.Unit || m.Description != g.Brief {
				t.Errorf("%s is a %s, %s, %q; the registry has %s, %s, %q", g.MetricName, instrument, m.Unit, m.Description, g.Instrument, g.Unit, g.Brief)
			}
			used := map[string]bool{}
			for _, set := range points {
				for _, kv := range set.ToSlice() {
					key, value := string(kv.Key), kv.Value.String()
					used[key] = true
					switch list := members[key]; bounded[key] {
					case "members", "declared":
						if !slices.Contains(list, value) {
							t.Errorf("%s: %s=%s is not a member", g.MetricName, key, value)
						}
					case "configuration":
						if !slices.Contains(configured[key], value) {
							t.Errorf("%s: %s=%s is not configured", g.MetricName, key, value)
						}
					default:
						t.Errorf("%s: %s may be unbounded", g.MetricName, key)
					}
				}
			}
			if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, slices.Sorted(slices.Values(g.refs()))) {
				t.Errorf("%s has the attributes %v, the registry %v", g.MetricName, got, g.refs())
			}
		}
		for name := range own {
			t.Errorf("%s is not in the registry", name)
		}

		seen := map[string]map[string]bool{}
		for _, s := range r.ended() {
			name := strings.Replace(s.Name(), " sensor", " {topic}", 1)
			g, ok := spans[name]
			if !ok {
				t.Errorf("span %s is not in the registry", name)
				continue
			}
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			service, _ := s.Resource().Set().Value("service.name")
			if s.SpanKind().String() != g.SpanKind || service.AsString() != cmpOr(g.Annotations.Service, "weir") {
				t.Errorf("span %s is a %s of %s", name, s.SpanKind(), service.AsString())
			}
			for _, a := range s.Attributes() {
				if seen[name][string(a.Key)] = true; !slices.Contains(g.refs(), string(a.Key)) {
					t.Errorf("span %s has the attribute %s", name, a.Key)
				}
			}
			for _, a := range g.Attributes {
				if a.Level == "required" && attr(s, a.Ref).Type() == attribute.EMPTY {
					t.Errorf("a span %s lacks %s, which is required: %v", name, a.Ref, s.Attributes())
				}
			}
		}
		for name, g := range spans {
			for _, a := range g.Attributes {
				if !seen[name][a.Ref] && a.Level == "required" && name != "{operation} {topic}" && name != "receive {topic}" && a.Ref != "server.port" {
					t.Errorf("no span %s has %s", name, a.Ref)
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
	case metricdata.Gauge[float64]:
		instrument = "gauge"
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
