package telemetry

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// An ancestry is which trace an event belongs to.
type ancestry struct {
	ctx    context.Context // has the parent, if any
	parent trace.SpanContext
	links  []trace.Link
	// follow says that the parent's sampling decision holds, since somebody with a
	// right to publish took it.
	follow bool
}

// ancestryOf finds out which trace an event belongs to. The event's own trace context
// wins, then the one in ctx: that of the request that publishes, or the caller's.
// If the publisher showed no right, the context becomes a link.
func ancestryOf(ctx context.Context, e *stream.Event) ancestry {
	x := exchangeOf(ctx)
	trusted := x == nil || x.trusted
	if x != nil {
		ctx = trace.ContextWithSpan(ctx, x.begin())
	}
	local := trace.SpanContextFromContext(ctx)
	a := ancestry{ctx: ctx, parent: local, follow: trusted && (local.IsRemote() || x != nil && x.remote.IsValid())}
	own := contextOf(e)
	switch {
	case !own.IsValid():
	case trusted:
		a.ctx, a.parent, a.follow = trace.ContextWithRemoteSpanContext(ctx, own), own, true
		if local.IsValid() && !local.IsRemote() {
			a.links = append(a.links, link(local, linkRequest))
		}
	default:
		a.links = append(a.links, link(own, linkIncoming))
	}
	return a
}

// passOn gives an event the trace context of its publisher: with OTEL_SDK_DISABLED
// there are no spans, but contexts go on.
func passOn(ctx context.Context, _ string, e *stream.Event) func(stream.ID, error) {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && !contextOf(e).IsValid() {
		setContext(e, sc)
	}
	return nil
}

// Bounds of what a publisher's baggage becomes.
const (
	maxBaggage      = 8
	maxBaggageValue = 128
)

// baggageOf returns the baggage of somebody with a right to publish as attributes
// of the event. The baggage itself goes no further: the readers are the public.
func baggageOf(ctx context.Context) (attributes []attribute.KeyValue) {
	if x := exchangeOf(ctx); x != nil && !x.trusted {
		return nil
	}
	members := baggage.FromContext(ctx).Members() // in no order
	slices.SortFunc(members, func(a, b baggage.Member) int { return strings.Compare(a.Key(), b.Key()) })
	for _, m := range members {
		if len(attributes) < maxBaggage && len(m.Value()) <= maxBaggageValue {
			attributes = append(attributes, attribute.String(baggagePrefix+m.Key(), m.Value()))
		}
	}
	return attributes
}
