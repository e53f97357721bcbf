package telemetry_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry"
)

// TestFaultIsATraceOfItsOwn: a client of long ago that is cut off, and one that lost
// events, are told of in traces that begin with that: what samples by faults has
// decided about the stream's own trace long before.
func TestFaultIsATraceOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{Topic: stream.TopicOptions{History: 2}})
		c := r.connect("/sse-stream", nil, func(n int) {
			switch {
			case n == 2:
				time.Sleep(2 * time.Second) // and is overtaken
			case n > 5:
				panic("broken writer")
			}
		})
		time.Sleep(40 * time.Second)
		for range 9 {
			r.publish(`1`)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for range 5 {
			r.publish(`1`)
			synctest.Wait()
		}
		c.wait()
		r.close()
		request := named(r.ended(), "GET /sse-stream")[0].SpanContext()
		var lost, broken int
		for _, s := range named(r.ended(), "stream ") {
			fault := attr(s, "sse.close.reason").AsString() == "panic" || len(s.Events()) > 0
			if own := s.SpanContext().TraceID() != request.TraceID(); own != fault || own == s.Parent().IsValid() {
				t.Errorf("a segment with a fault (%v) is in a trace of its own: %v\n%s", fault, own, r.tree())
			}
			for _, e := range s.Events() {
				if e.Name != "sse.gap" {
					continue
				}
				lost++
				said := fmt.Sprint(e.Attributes)
				if !strings.Contains(said, "slow") || !strings.Contains(said, "sse.gap.missed") || !strings.Contains(said, "sse.gap.from") {
					t.Errorf("the gap is told as %s", said)
				}
			}
			if attr(s, "sse.close.reason").AsString() == "panic" {
				broken++
				if s.Status().Code != codes.Error || !attr(s, "sse.segment.last").AsBool() {
					t.Errorf("%v %v", s.Status(), s.Attributes())
				}
			}
		}
		if lost == 0 || broken != 1 {
			t.Errorf("%d gaps and %d cut off:\n%s", lost, broken, r.tree())
		}
	})
}

// TestLateEvents: an event that was not sampled, and reached a client late, has a
// trace, which tells how long it took; of many there are some.
func TestLateEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: 5}, stream.HubOptions{})
		slow := false
		c := r.connect("/sse-stream", nil, func(int) {
			if slow {
				time.Sleep(300 * time.Millisecond)
			}
		})
		time.Sleep(time.Second)
		for range 10 {
			r.publish(`0`) // which takes all traces of this second
		}
		synctest.Wait()
		slow = true
		id := r.publish(`1`)[0].String()
		time.Sleep(time.Second)
		c.leave()
		r.close()
		for _, s := range named(r.ended(), "event ") {
			if attr(s, "sse.event.id").AsString() == id {
				if d := s.EndTime().Sub(s.StartTime()); d != 300*time.Millisecond || len(of(r, id)) != 1 || attr(of(r, id)[0], "sse.delivery.pick").AsString() != "late" {
					t.Errorf("it took %v, %v", d, of(r, id))
				}
				return
			}
		}
		t.Errorf("the late event has no span:\n%s", r.tree())
	})
}

// TestLateEventsAreLimited: when thousands are late at once, some are told of.
func TestLateEventsAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: 5}, stream.HubOptions{})
		var slow atomic.Bool
		var clients []*client
		for range 50 {
			clients = append(clients, r.connect("/sse-stream", nil, func(int) {
				if slow.Load() {
					time.Sleep(300 * time.Millisecond)
				}
			}))
		}
		synctest.Wait()
		r.publish(`0`, `0`, `0`, `0`, `0`) // which take all traces of this second
		synctest.Wait()
		slow.Store(true)
		id := r.publish(`1`)[0].String()
		time.Sleep(time.Second)
		for _, c := range clients {
			c.leave()
		}
		r.close()
		if n := len(of(r, id)); n != 5 {
			t.Errorf("of 50 late deliveries in a second %d have spans, want 5", n)
		}
	})
}

// TestLateBehindAReplay: of a batch that begins with a replay, the late event is
// the first that is none.
func TestLateBehindAReplay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: 1}, stream.HubOptions{})
		replayed := r.publish(`1`, `2`, `3`) // the first takes the one trace of this second
		stuck := make(chan struct{})
		c := r.connect("/sse-stream", http.Header{"Last-Event-Id": {replayed[0].String()}}, func(n int) {
			if n == 1 { // the greeting: meanwhile another event comes
				<-stuck
			}
		})
		synctest.Wait()
		live := r.publish(`4`)[0].String()
		time.Sleep(500 * time.Millisecond)
		close(stuck)
		time.Sleep(time.Second)
		c.leave()
		r.close()
		if len(of(r, live)) != 1 || len(of(r, replayed[1].String())) != 0 {
			t.Errorf("want the late event %s alone:\n%s", live, r.tree())
		}
	})
}

// TestGapsOfASegment: each gap is told of in its own segment, and in no later one.
func TestGapsOfASegment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		c := r.connect("/sse-stream", http.Header{"Last-Event-Id": {"1-0"}}, nil)
		time.Sleep(50 * time.Second)
		c.leave()
		r.close()
		var got []int
		for _, s := range named(r.ended(), "stream ") {
			got = append(got, len(s.Events()))
		}
		if fmt.Sprint(got) != "[1 0 0]" {
			t.Errorf("the segments tell of %v gaps, want one in the first:\n%s", got, r.tree())
		}
	})
}

// TestSeriesBeginAtZero: before anything has happened, each series of a bounded set
// is there, so that the first incident is an increase.
func TestSeriesBeginAtZero(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{RejectReasons: []string{"max_conns"}}, stream.HubOptions{})
		text := serve(r.tel.MetricsHandler(), "GET", "/metrics", nil).Body.String()
		for _, line := range []string{
			`sse_server_events_dropped_total{sse_drop_reason="unavailable",sse_topic="sensor"} 0`,
			`sse_server_events_published_total{sse_event_type="weir.event",sse_topic="sensor"} 0`,
			`sse_server_events_delivered_total{sse_delivery_kind="replay",sse_topic="sensor"} 0`,
			`sse_server_gaps_total{sse_gap_reason="restart",sse_topic="sensor"} 0`,
			`sse_server_rejected_connections_total{sse_reject_reason="max_conns",sse_topic="sensor"} 0`,
			`sse_server_rejected_connections_total{sse_reject_reason="topic",sse_topic="_OTHER"} 0`,
			`sse_server_connection_duration_seconds_count{error_type="timeout",sse_close_reason="slow",sse_topic="sensor"} 0`,
			`sse_server_delivery_duration_seconds_count{sse_topic="sensor"} 0`,
			`sse_server_publish_duration_seconds_count{sse_topic="sensor"} 0`,
			`sse_client_reports_rejected_total{sse_report_reason="rate"} 0`,
			`sse_server_active_connections{network_protocol_version="2",sse_topic="sensor"} 0`,
			`sse_server_lag{sse_topic="sensor"} 0`,
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("there is no line %s", line)
			}
		}
		r.close()
	})
}

// TestFormsOfHistograms: what an exporter asks for holds for the histogram of
// deliveries, too.
func TestFormsOfHistograms(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
	t.Setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_off")
	synctest.Test(t, func(t *testing.T) {
		var reader *sdkmetric.ManualReader
		r := newRig(t, telemetry.Options{Readers: []func(sdkmetric.Producer) sdkmetric.Reader{func(p sdkmetric.Producer) sdkmetric.Reader {
			reader = sdkmetric.NewManualReader(sdkmetric.WithProducer(telemetry.AsExported(p)))
			return reader
		}}}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, func(n int) {
			if n > 1 {
				time.Sleep(70 * time.Millisecond)
			}
		})
		collect := func() metricdata.ExponentialHistogramDataPoint[float64] {
			var rm metricdata.ResourceMetrics
			if err := reader.Collect(t.Context(), &rm); err != nil {
				t.Fatal(err)
			}
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					if h, ok := m.Data.(metricdata.ExponentialHistogram[float64]); ok && m.Name == "sse.server.delivery.duration" {
						if h.Temporality != metricdata.DeltaTemporality {
							t.Error("it is not delta")
						}
						return h.DataPoints[0]
					}
				}
			}
			t.Fatal("no exponential histogram of deliveries")
			return metricdata.ExponentialHistogramDataPoint[float64]{}
		}
		began := collect().Time
		for range 3 {
			time.Sleep(time.Second)
			r.publish(`1`)
			time.Sleep(time.Second)
			p := collect()
			if p.Sum < 0.069 || p.Sum > 0.071 || !p.StartTime.Equal(began) {
				t.Errorf("a delta of one delivery of 0.07 s has the sum %v, and begins at %v, want %v", p.Sum, p.StartTime, began)
			}
			began = p.Time
			var n, at uint64
			for i, c := range p.PositiveBucket.Counts {
				if n += c; c > 0 {
					at = uint64(int(p.PositiveBucket.Offset) + i)
				}
			}
			// 0.07 s is in the bucket from 2^(-16/4) to 2^(-15/4), of scale 2.
			if p.Count != 1 || n != 1 || int64(at) != -16 || p.Scale != 2 || len(p.Exemplars) != 0 {
				t.Errorf("the point is %+v", p)
			}
		}
		c.leave()
		r.close()
	})
}

// TestExemplarsOfADelta: an exemplar is given with the interval in which it happened,
// and with no other.
func TestExemplarsOfADelta(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var reader *sdkmetric.ManualReader
		r := newRig(t, telemetry.Options{Readers: []func(sdkmetric.Producer) sdkmetric.Reader{func(p sdkmetric.Producer) sdkmetric.Reader {
			reader = sdkmetric.NewManualReader(sdkmetric.WithProducer(telemetry.AsExported(p)))
			return reader
		}}}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		given := make(map[string]int) // exemplars, by metric
		for _, events := range []int{0, 1, 0, 2, 0} {
			time.Sleep(time.Minute)
			for range events {
				r.publish(`1`)
				time.Sleep(5 * time.Second) // its way is known
			}
			var rm metricdata.ResourceMetrics
			if err := reader.Collect(t.Context(), &rm); err != nil {
				t.Fatal(err)
			}
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					h, ok := m.Data.(metricdata.Histogram[float64])
					if !ok || h.Temporality != metricdata.DeltaTemporality {
						continue
					}
					for _, p := range h.DataPoints {
						given[m.Name] += len(p.Exemplars)
						for _, e := range p.Exemplars {
							if p.Count == 0 || e.Time.Before(p.StartTime) || e.Time.After(p.Time) {
								t.Errorf("%s of %d from %v to %v has an exemplar of %v", m.Name, p.Count, p.StartTime, p.Time, e.Time)
							}
						}
					}
				}
			}
		}
		if n := given["sse.server.delivery.duration"]; n != 2 { // the last of a bucket
			t.Errorf("%d exemplars of deliveries are given, want 2: %v", n, given)
		}
		c.leave()
		r.close()
	})
}

// TestUnsampledDeliveriesAllocateNothing, with the counters, the latency and the
// segment's worst.
func TestUnsampledDeliveriesAllocateNothing(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	flush := telemetry.NewTally()
	entries := []*eventlog.Entry{{At: time.Now(), Event: new(stream.Event)}}
	f := &stream.Flush{Entries: entries, Events: 1, Bytes: 100, Began: time.Now(), Ended: time.Now()}
	if n := testing.AllocsPerRun(1000, func() { telemetry.Deliver(flush, f) }); n != 0 {
		t.Errorf("counting a delivery makes %v allocations", n)
	}
	hook := telemetry.FlushHook(tel, "sensor")
	hook(f)
	if n := testing.AllocsPerRun(1000, func() { hook(f) }); n != 0 {
		t.Errorf("a delivery makes %v allocations", n)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
