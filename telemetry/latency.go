package telemetry

import (
	"context"
	"math/bits"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// latencyBounds are the boundaries of sse.server.delivery.duration, in
// nanoseconds.
var latencyBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// firstBucket is, for each number of bits of a latency, the lowest bucket that
// it can be in.
var firstBucket = func() (first [65]uint8) {
	for n := range first {
		least := time.Duration(0)
		if n > 0 {
			least = 1 << (n - 1)
		}
		for int(first[n]) < len(latencyBounds) && least > latencyBounds[first[n]] {
			first[n]++
		}
	}
	return first
}()

// bucketOf returns the bucket of a latency, which is not negative.
func bucketOf(d time.Duration) int {
	i := int(firstBucket[bits.Len64(uint64(d))])
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	return i
}

// latencies are a histogram.
type latencies struct {
	sum     time.Duration
	buckets [len(latencyBounds) + 1]uint64
}

func (l *latencies) count() (n uint64) {
	for _, b := range l.buckets {
		n += b
	}
	return n
}

// A latencyExemplar leads from a bucket to a delivery that was in it.
type latencyExemplar struct {
	latency time.Duration
	at      time.Time
	context trace.SpanContext
}

// exemplar keeps the last delivery with a span in each bucket.
func (tm *topicMetrics) exemplar(d time.Duration, at time.Time, sc trace.SpanContext) {
	if !sc.IsSampled() {
		return
	}
	tm.mu.Lock()
	defer tm.mu.Unlock()
	tm.exemplars[bucketOf(max(d, 0))] = latencyExemplar{d, at, sc}
}

// kept returns the exemplars that there are.
func (tm *topicMetrics) kept() (all []latencyExemplar) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	for _, e := range tm.exemplars {
		if e.context.IsValid() {
			all = append(all, e)
		}
	}
	return all
}

// A deliveryProducer makes sse.server.delivery.duration of the tallies, for one
// or more readers. A histogram instrument would cost 150 ns for each delivery.
type deliveryProducer struct {
	t     *Telemetry
	began time.Time
}

const (
	deliveryName        = "sse.server.delivery.duration"
	deliveryDescription = "From the entry of an event into the log to its flush to a client; replays do not count."
)

// Produce implements the producer of package sdk/metric.
func (p *deliveryProducer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	if p.t.metrics == nil {
		return nil, nil
	}
	bounds := make([]float64, len(latencyBounds))
	for i, b := range latencyBounds {
		bounds[i] = b.Seconds()
	}
	now := time.Now()
	h := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	for tm := range p.t.metrics.all() {
		total := tm.total()
		point := metricdata.HistogramDataPoint[float64]{
			Attributes: tm.set, StartTime: p.began, Time: now, Bounds: bounds,
			BucketCounts: total.latency.buckets[:], Sum: total.latency.sum.Seconds(), Count: total.latency.count(),
		}
		if point.Count == 0 {
			continue
		}
		for _, e := range tm.kept() {
			trace, span := e.context.TraceID(), e.context.SpanID()
			point.Exemplars = append(point.Exemplars, metricdata.Exemplar[float64]{Time: e.at, Value: e.latency.Seconds(), TraceID: trace[:], SpanID: span[:]})
		}
		h.DataPoints = append(h.DataPoints, point)
	}
	if len(h.DataPoints) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{{
		Scope:   instrumentation.Scope{Name: scopeName, Version: p.t.opts.Version},
		Metrics: []metricdata.Metrics{{Name: deliveryName, Description: deliveryDescription, Unit: "s", Data: h}},
	}}, nil
}

// A bareReservoir keeps exemplars without attributes.
type bareReservoir struct{ exemplar.Reservoir }

func (r bareReservoir) Offer(ctx context.Context, t time.Time, v exemplar.Value, _ []attribute.KeyValue) {
	r.Reservoir.Offer(ctx, t, v, nil)
}
