package telemetry

import (
	"context"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// How many traces begin a second at most. Each limit lets a second's worth come
// at once.
const (
	// DefaultEventTraces is for the traces of events. For long, a quarter of them
	// begin: an event has some seven spans, and a node sends a hundred a second.
	DefaultEventTraces = 50
	// requestTraces is for requests other than streams. They tell less: an event
	// that a request without a span publishes has a trace of its own.
	requestTraces = 10
	// lateTraces is for events that turn out late, sampled or not.
	lateTraces = 5
)

// perSecond returns a token bucket that holds one second's tokens. One of no
// tokens gives none.
func perSecond(n int) *rate.Limiter {
	if n <= 0 {
		return rate.NewLimiter(0, 0)
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// eventLimiter lets so many traces of events begin in a second, and for long a
// quarter of that, but so many that a few events a second are all traced.
func eventLimiter(n int) *rate.Limiter {
	if n <= 0 {
		return perSecond(0)
	}
	const few = 12
	return rate.NewLimiter(rate.Limit(max(float64(n)/4, float64(min(n, few)))), n)
}

// take takes a token at a time, if there is one.
func take(l *rate.Limiter, now time.Time) bool { return l.AllowN(now, 1) }

type decidedKey struct{}

// decided marks a context in which a new trace has been decided upon.
func decided(ctx context.Context) context.Context {
	return context.WithValue(ctx, decidedKey{}, true)
}

// A sampler follows the parent. A trace that begins here is sampled when that
// was decided before (streams: all; events: so many a second), and else, as
// requests are, so many a second: whoever can send requests could otherwise
// push everything else out of the export queue.
type sampler struct{ requests *rate.Limiter }

func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	sample := parent.IsSampled()
	if !parent.IsValid() {
		sample = p.ParentContext.Value(decidedKey{}) != nil || take(s.requests, time.Now())
	}
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: parent.TraceState()}
	if sample {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

func (s *sampler) Description() string { return "weir" }
