package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// A family is a histogram with its series. Weir keeps it, not the SDK, for two
// reasons. A series of a bounded set exists at 0 before its first value, so that
// increase() does not miss that value. And deliveries, of which there may be a
// million a second, are added up only when somebody reads. Metric readers get a family
// from a producer.
type family struct {
	name, unit, description string
	layout                  *layout
}

// A histogram is the values of a series.
type histogram struct {
	sum    float64
	count  uint64
	counts []uint64 // by the buckets of the layout
}

// A series is the values with one set of attributes.
type series struct {
	family *family
	set    attribute.Set

	mu        sync.Mutex
	histogram histogram
	exemplars []spanExemplar // by explicit bucket; nil: none yet
}

// A spanExemplar leads from a bucket to a span that was in it.
type spanExemplar struct {
	value float64
	at    time.Time
	span  spanRef
}

func newSeries(f *family, kvs ...attribute.KeyValue) *series {
	return &series{family: f, set: attribute.NewSet(kvs...)}
}

// Record adds a value. A sampled span in the context becomes its exemplar.
func (s *series) Record(ctx context.Context, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.histogram
	if h.counts == nil {
		h.counts = make([]uint64, len(s.family.layout.bounds)+1)
	}
	h.counts[s.family.layout.of(value)]++
	h.count++
	h.sum += value
	s.keep(value, time.Now(), trace.SpanContextFromContext(ctx))
}

// exemplar keeps the last span in each bucket.
func (s *series) exemplar(value float64, at time.Time, span trace.SpanContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(value, at, span)
}

// keep does what exemplar does. The caller holds s.mu.
func (s *series) keep(value float64, at time.Time, span trace.SpanContext) {
	if !span.IsSampled() {
		return
	}
	if s.exemplars == nil {
		s.exemplars = make([]spanExemplar, len(s.family.layout.explicit)+1)
	}
	s.exemplars[s.family.layout.toward[s.family.layout.of(value)]] = spanExemplar{value, at, refOf(span)}
}

// point is a series at a moment.
type point struct {
	set       attribute.Set
	histogram histogram
	exemplars []metricdata.Exemplar[float64]
}

func (s *series) point() point {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := point{set: s.set, histogram: s.histogram}
	p.histogram.counts = append([]uint64(nil), s.histogram.counts...)
	p.exemplars = s.kept()
	return p
}

// kept returns the exemplars that there are. The caller holds s.mu.
func (s *series) kept() (all []metricdata.Exemplar[float64]) {
	for i := range s.exemplars {
		if e := &s.exemplars[i]; e.span.valid() {
			ref := e.span // a copy: the exemplar is read when the next may have taken its place
			all = append(all, metricdata.Exemplar[float64]{Time: e.at, Value: e.value, TraceID: ref.trace[:], SpanID: ref.span[:]})
		}
	}
	return all
}
