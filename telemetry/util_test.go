package telemetry_test

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
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

type ctx = context.Context

// serve answers one request.
func serve(h http.Handler, method, target string, header http.Header) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, nil)
	for name, values := range header {
		req.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}
