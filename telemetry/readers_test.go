package telemetry_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"weir/stream"
	"weir/telemetry"
)

// Topics on demand share the counters of their label. How many readers an event
// has is a number of its own topic.
func TestReadersAreThoseOfTheTopic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{OnDemand: func(topic string) (stream.TopicOptions, bool) {
			return stream.TopicOptions{Label: "user.*", IdleTTL: time.Hour}, strings.HasPrefix(topic, "user.")
		}})
		defer r.close()
		for _, topic := range []string{"user.1", "user.1", "user.2"} {
			defer r.connect("/sse-stream?topic="+topic, nil, nil).leave()
		}
		r.connect("/sse-stream?topic=user.3", nil, nil).leave()
		synctest.Wait()
		for _, topic := range []string{"user.1", "user.2", "user.3"} {
			if _, err := r.hub.Publish(t.Context(), topic, stream.Event{Data: []byte(`1`)}); err != nil {
				t.Fatal(err)
			}
		}
		if ended := named(r.ended(), "event "); len(ended) != 1 || attr(ended[0], "sse.topic").AsString() != "user.3" {
			t.Errorf("%d events are over at once, want the one that nobody reads", len(ended))
		}
		points := r.collect()["sse.server.fanout.size"].Data.(metricdata.Histogram[float64]).DataPoints
		for _, p := range points {
			if topic, _ := p.Attributes.Value("sse.topic"); topic.AsString() == "user.*" {
				if p.Count != 3 || p.Sum != 2+1+0 {
					t.Errorf("%d events had %v readers, want 3 with 3", p.Count, p.Sum)
				}
				return
			}
		}
		t.Error("the fan-out has no series of the label")
	})
}
