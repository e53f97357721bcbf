package telemetry_test

import (
	"iter"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// sums returns the sums of a histogram's points.
func sums(t *testing.T, m metricdata.Metrics) iter.Seq[float64] {
	t.Helper()
	return func(yield func(float64) bool) {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				if !yield(p.Sum) {
					return
				}
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				if !yield(float64(p.Sum)) {
					return
				}
			}
		default:
			t.Errorf("%s is no histogram but %T", m.Name, m.Data)
		}
	}
}
