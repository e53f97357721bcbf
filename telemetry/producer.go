package telemetry

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A producer gives the histograms to one metric reader, in the form that its
// exporter asks for.
type producer struct {
	topics      *topics
	version     string // of the service
	delta       bool
	exponential bool
	began       time.Time
	before      map[*family]map[attribute.Distinct]histogram // what was given last, for delta
}

func newProducer(ts *topics, version string, delta, exponential bool) *producer {
	return &producer{topics: ts, version: version, delta: delta, exponential: exponential, began: time.Now(), before: make(map[*family]map[attribute.Distinct]histogram)}
}

// Forms that an OTLP exporter asks for, by the environment.
func wantsDelta() bool {
	switch strings.ToLower(os.Getenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")) {
	case "delta", "lowmemory":
		return true
	}
	return false
}

func wantsExponential() bool {
	return strings.EqualFold(os.Getenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"), "base2_exponential_bucket_histogram")
}

// wantsExemplars reports whether exemplars are given. Those kept are of sampled
// spans, so always_on and trace_based are the same.
func wantsExemplars() bool {
	return !strings.EqualFold(os.Getenv("OTEL_METRICS_EXEMPLAR_FILTER"), "always_off")
}

// Produce implements the producer of package sdk/metric. One metric reader calls it.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	ts := p.topics
	ts.know()
	now := time.Now()
	points := make(map[*family][]point)
	for tm := range ts.each() {
		for _, s := range tm.series() {
			points[s.family] = append(points[s.family], s.point())
		}
		if tm.name != other {
			points[ts.deliveries] = append(points[ts.deliveries], tm.deliveryPoint())
		}
	}
	scope := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: scopeName, Version: p.version, SchemaURL: schemaURL}}
	for _, f := range ts.families.all {
		if len(points[f]) > 0 {
			scope.Metrics = append(scope.Metrics, metricdata.Metrics{Name: f.name, Description: f.description, Unit: f.unit, Data: p.data(f, points[f], now)})
		}
	}
	if p.delta {
		p.began = now
	}
	return []metricdata.ScopeMetrics{scope}, nil
}

func (p *producer) data(f *family, points []point, now time.Time) metricdata.Aggregation {
	temporality := metricdata.CumulativeTemporality
	if p.delta {
		temporality = metricdata.DeltaTemporality
		for i := range points {
			p.subtract(f, &points[i])
			points[i].exemplars = slices.DeleteFunc(points[i].exemplars, func(e metricdata.Exemplar[float64]) bool {
				return points[i].histogram.count == 0 || e.Time.Before(p.began) // it was of an interval before
			})
		}
	}
	if !wantsExemplars() {
		for i := range points {
			points[i].exemplars = nil
		}
	}
	if p.exponential && f.layout.exponents != nil {
		data := metricdata.ExponentialHistogram[float64]{Temporality: temporality}
		for _, pt := range points {
			data.DataPoints = append(data.DataPoints, f.layout.exponential(pt, p.began, now))
		}
		return data
	}
	data := metricdata.Histogram[float64]{Temporality: temporality}
	for _, pt := range points {
		counts := make([]uint64, len(f.layout.explicit)+1)
		for i, n := range pt.histogram.counts {
			counts[f.layout.toward[i]] += n
		}
		data.DataPoints = append(data.DataPoints, metricdata.HistogramDataPoint[float64]{
			Attributes: pt.set, StartTime: p.began, Time: now, Bounds: f.layout.explicit,
			BucketCounts: counts, Sum: pt.histogram.sum, Count: pt.histogram.count, Exemplars: pt.exemplars,
		})
	}
	return data
}

// subtract leaves of a point what has come since the last one.
func (p *producer) subtract(f *family, pt *point) {
	if p.before[f] == nil {
		p.before[f] = make(map[attribute.Distinct]histogram)
	}
	before, now := p.before[f][pt.set.Equivalent()], pt.histogram
	p.before[f][pt.set.Equivalent()] = now
	pt.histogram.counts = append([]uint64(nil), now.counts...)
	for i, n := range before.counts {
		pt.histogram.counts[i] -= n
	}
	pt.histogram.count -= before.count
	pt.histogram.sum -= before.sum
}
