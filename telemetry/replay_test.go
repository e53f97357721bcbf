package telemetry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"weir/stream"
	"weir/telemetry"
)

// TestReplayThatIsCutShort: what a client got of a replay counts, also when it
// is cut in the middle.
func TestReplayThatIsCutShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		large := `"` + strings.Repeat("x", 50_000) + `"` // each is a batch of its own
		ids := append(r.publish(`1`), r.publish(large, large, large)...)
		stuck := make(chan struct{})
		c := r.connect("/sse-stream", http.Header{"Last-Event-Id": {ids[0].String()}}, func(n int) {
			// The greeting, and then two writes for an event.
			if n == 4 {
				<-stuck
			}
		})
		time.Sleep(time.Minute) // it takes nothing for longer than a client may
		close(stuck)
		c.wait()
		r.close()
		r.expect("sse.server.replay.size", "sse.topic=sensor", 1)
		for s := range sums(t, r.collect()["sse.server.replay.size"]) {
			if s != 1 {
				t.Errorf("sse.server.replay.size got %v, want 1 of 3", s)
			}
		}
	})
}

// TestReplaysAreNoLatency: how long an event waited for a client to come back is
// in no latency, and leads from none.
func TestReplaysAreNoLatency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		there := r.connect("/sse-stream", nil, nil) // or the event would be closed at once
		synctest.Wait()
		r.publish(`1`, `2`)
		time.Sleep(100 * time.Millisecond)                                           // their spans are still open
		back := r.connect("/sse-stream", http.Header{"Last-Event-Id": {"1-0"}}, nil) // what comes behind a gap gets a span
		time.Sleep(10 * time.Second)
		there.leave()
		back.leave()
		r.close()
		replays := map[string]bool{}
		for _, s := range named(r.ended(), "deliver ") {
			if attr(s, "sse.delivery.kind").AsString() == "replay" {
				replays[s.SpanContext().SpanID().String()] = true
			}
		}
		if len(replays) == 0 {
			t.Fatalf("no replay has a span:\n%s", r.tree())
		}
		h := r.collect()["sse.server.delivery.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0]
		if h.Count != 2 || h.Sum > 0.01 {
			t.Errorf("%d deliveries took %v s", h.Count, h.Sum)
		}
		for _, e := range h.Exemplars {
			if replays[fmt.Sprintf("%x", e.SpanID)] {
				t.Errorf("an exemplar of %v s leads to a replay", e.Value)
			}
		}
	})
}

// TestReplayOnAPage: how long an event waited for its page to come back is no
// latency of the page either, and yet its way is told.
func TestReplayOnAPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		there := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		r.publish(`1`)
		synctest.Wait()
		send := named(r.ended(), "send ")[0]
		time.Sleep(time.Minute)
		back := r.connect("/sse-stream", http.Header{"Last-Event-Id": {"1-0"}, "Sec-Fetch-Site": {"same-origin"}}, nil)
		synctest.Wait()
		now := time.Now()
		time.Sleep(10 * time.Millisecond)
		page := back.page(r)
		if w := page.send(page.reported(send, now, now)); w.Code != http.StatusNoContent {
			t.Errorf("the report gets %d %s", w.Code, w.Body)
		}
		there.leave()
		back.leave()
		r.close()
		if n := len(named(r.ended(), "process ")); n != 1 {
			t.Errorf("%d process spans", n)
		}
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", 0)
		r.expect("sse.client.render.duration", "sse.topic=sensor", 0)
	})
}
