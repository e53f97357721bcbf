package telemetry

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// How many traces begin a second at most. Each limit lets a second's worth come
// at once.
const (
	// DefaultEventTraces is for the traces of events. Sustained, fewer begin: their
	// spans are counted, so that a node sends less than a hundred a second.
	DefaultEventTraces = 50
	// requestTraces is for requests other than streams. They tell less: an event
	// that a request without a span publishes has a trace of its own.
	requestTraces = 10
	// lateTraces is for events that turn out late, sampled or not.
	lateTraces = 5
)

// limits are the bounds of the traces that begin here. Where OTEL_TRACES_SAMPLER
// decides, there are none for requests and late events.
type limits struct {
	events   *budget
	requests *rate.Limiter // of the spans of requests other than streams
	lates    *rate.Limiter // of the traces of events that were late
}

// newLimits returns the limits, of which eventTraces is that of Options.
func newLimits(c config, eventTraces int) limits {
	l := limits{events: newBudget(eventTraces)}
	switch {
	case c.disabled:
		l.lates = perSecond(0)
	case c.limited:
		l.requests, l.lates = perSecond(requestTraces), perSecond(min(lateTraces, max(0, eventTraces)))
	}
	return l
}

// perSecond returns a token bucket that holds one second's tokens. One of no
// tokens gives none.
func perSecond(n int) *rate.Limiter {
	if n <= 0 {
		return rate.NewLimiter(0, 0)
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// eventSpans is how many spans the trace of an event is taken to have, until it is
// known how many it has.
const eventSpans = 6

// leastSpans is how many spans of events a second there may be in any case: some ten
// events a second are all traced.
const leastSpans = 72

// A budget bounds the traces of events, and their spans. So many traces may begin at
// once, and then as many a second, as long as their spans are at most 1.5 times as
// many a second, or leastSpans. Any goroutine may use it.
type budget struct {
	traces      *rate.Limiter
	rate, burst float64 // spans a second, spans

	mu     sync.Mutex
	tokens float64 // spans; less than none after traces that had more than was thought
	at     time.Time
}

func newBudget(traces int) *budget {
	n := float64(max(0, traces))
	return &budget{traces: perSecond(traces), rate: max(1.5*n, leastSpans), burst: eventSpans * n, tokens: eventSpans * n}
}

// take takes the tokens of one trace, if they are there.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if gone := now.Sub(b.at); gone > 0 {
		if !b.at.IsZero() {
			b.tokens = min(b.burst, b.tokens+b.rate*gone.Seconds())
		}
		b.at = now
	}
	if b.tokens < eventSpans || !allow(b.traces, now) {
		return false
	}
	b.tokens -= eventSpans
	return true
}

// spend takes the tokens of spans that were made without, or, of fewer than none,
// gives some back.
func (b *budget) spend(spans int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = max(-b.burst, min(b.burst, b.tokens-float64(spans)))
}

// allow takes a token of a limiter at a time, and reports whether there was one.
func allow(l *rate.Limiter, now time.Time) bool { return l.AllowN(now, 1) }

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
		sample = p.ParentContext.Value(decidedKey{}) != nil || allow(s.requests, time.Now())
	}
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: parent.TraceState()}
	if sample {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

func (s *sampler) Description() string { return "weir" }
