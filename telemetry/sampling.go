package telemetry

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A bucket is a token bucket that holds one second's tokens.
type bucket struct {
	rate float64 // a second; nothing is given when it is 0

	mu     sync.Mutex
	tokens float64
	filled time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.filled.IsZero() {
		b.tokens = b.rate
	} else if gone := now.Sub(b.filled).Seconds(); gone > 0 {
		b.tokens = min(b.rate, b.tokens+gone*b.rate)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

type decidedKey struct{}

// decided marks a context in which a new trace has been decided upon.
func decided(ctx context.Context) context.Context {
	return context.WithValue(ctx, decidedKey{}, true)
}

// A sampler follows the parent. A trace that begins here is sampled when that
// was decided before (streams: all; events: so many a second), and else, as
// requests are, so many a second: whoever can send requests could otherwise
// push everything else out of the export queue.
type sampler struct{ requests *bucket }

func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	sample := parent.IsSampled()
	if !parent.IsValid() {
		sample = p.ParentContext.Value(decidedKey{}) != nil || s.requests.take(time.Now())
	}
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: parent.TraceState()}
	if sample {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

func (s *sampler) Description() string { return "weir" }
