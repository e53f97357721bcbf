package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// requests makes an exchange of each request, and counts how long it took. Any
// goroutine may call its methods.
type requests struct {
	tracer       trace.Tracer
	propagator   propagation.TextMapPropagator
	limit        *rate.Limiter // of the spans of requests other than streams; nil: a sampler decides
	client       func(*http.Request) string
	duration     metric.Float64Histogram
	measurements measurements
}

// middleware makes the exchanges of a route.
func (rs *requests) middleware(route string, next http.Handler) http.Handler {
	if len(route) > 3 && route[len(route)-3:] == "{$}" {
		route = route[:len(route)-3]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, requests: rs, r: r, route: route, began: time.Now()}
		defer func() {
			p := recover()
			switch {
			case x.stream:
				if p != nil {
					panic(p)
				}
			case p != nil:
				if p != http.ErrAbortHandler { // which is how an answer is broken off on purpose
					x.end(time.Now(), http.StatusInternalServerError, fmt.Errorf("panic: %v", p))
				}
				x.end(time.Now(), cmpOr(x.status, x.aborted()), nil)
				panic(p)
			case x.refusal != nil: // it may have been told without an answer
				x.end(time.Now(), cmpOr(x.status, x.aborted()), nil)
			default:
				x.end(time.Now(), cmpOr(x.status, http.StatusOK), nil)
			}
		}()
		next.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	})
}

// allow reports whether a request other than a stream may have a span.
func (rs *requests) allow(now time.Time) bool { return rs.limit == nil || allow(rs.limit, now) }

// extract reads the trace context and the baggage of a request, as OTEL_PROPAGATORS
// says.
func (rs *requests) extract(r *http.Request) context.Context {
	return rs.propagator.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
}

// publisher makes the exchange of a request by somebody who has shown a right to
// publish a part of the trace that its headers tell of.
func (rs *requests) publisher(r *http.Request) context.Context {
	ctx := r.Context()
	x := exchangeOf(ctx)
	if x == nil || x.r == nil || x.span != nil {
		return ctx
	}
	from := rs.extract(r)
	x.trusted, x.remote = true, trace.SpanContextFromContext(from)
	if b := baggage.FromContext(from); b.Len() > 0 {
		ctx = baggage.ContextWithBaggage(ctx, b)
	}
	return trace.ContextWithSpan(ctx, x.begin())
}

// passOn gives the context of a request the trace context that its headers tell of:
// with OTEL_SDK_DISABLED there are no spans, but contexts go on.
func (rs *requests) passOn(r *http.Request) context.Context {
	return trace.ContextWithRemoteSpanContext(r.Context(), trace.SpanContextFromContext(rs.extract(r)))
}

// measure counts how long a request took.
func (rs *requests) measure(ctx context.Context, what measurement, took time.Duration) {
	rs.duration.Record(ctx, took.Seconds(), rs.measurements.option(what)...)
}
