package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// An origin is where an event comes from, as far as traces are concerned.
type origin struct {
	ctx    context.Context // has the parent, if any
	parent trace.SpanContext
	links  []trace.Link
	// follow says that the parent's sampling decision holds, since somebody with a
	// right to publish took it.
	follow bool
}

// origin finds out which trace an event belongs to. The event's own trace context
// wins, then the one in ctx: that of the request that publishes, or the caller's.
// If the publisher showed no right, the context becomes a link.
func (t *Telemetry) origin(ctx context.Context, e *stream.Event) origin {
	x := exchangeOf(ctx)
	trusted := x == nil || x.trusted
	if x != nil {
		ctx = trace.ContextWithSpan(ctx, x.begin())
	}
	local := trace.SpanContextFromContext(ctx)
	o := origin{ctx: ctx, parent: local, follow: trusted && (local.IsRemote() || x != nil && x.remote.IsValid())}
	own := contextOf(e)
	switch {
	case !own.IsValid():
	case trusted:
		o.ctx, o.parent, o.follow = trace.ContextWithRemoteSpanContext(ctx, own), own, true
		if local.IsValid() && !local.IsRemote() {
			o.links = append(o.links, link(local, linkRequest))
		}
	default:
		o.links = append(o.links, link(own, linkIncoming))
	}
	return o
}

func link(to trace.SpanContext, what string) trace.Link {
	return trace.Link{SpanContext: to, Attributes: []attribute.KeyValue{keyLink.String(what)}}
}

// sample decides whether an event gets a trace, where OTEL_TRACES_SAMPLER does
// not.
func (t *Telemetry) sample(o *origin, now time.Time) bool {
	if o.follow {
		return o.parent.IsSampled()
	}
	// Published by a request without a span, or by none, it begins a trace.
	return (o.parent.IsSampled() || !o.parent.IsValid()) && t.rec.budget.take(now)
}

// publish is called before an event enters.
func (t *Telemetry) publish(ctx context.Context, topic string, e *stream.Event) func(stream.ID, error) {
	tm := t.metrics.of(topic)
	began := time.Now()
	e.Origin = eventlog.Origin{Node: t.opts.Node, Published: began}
	et, send := t.beginEvent(ctx, topic, e, tm, began)
	published := tm.publishedAs(e.Type)
	return func(id stream.ID, err error) {
		ended := time.Now()
		tm.acknowledged(et.context(), ended.Sub(began), err)
		if err != nil {
			add(tm.dropped, dropReason(err), 1)
		} else {
			published.Add(1)
			if !tm.throughBroker(topic) { // else it is counted when it comes back
				tm.fanout.Record(et.context(), float64(t.readers.of(topic)))
			}
		}
		if et == nil {
			return
		}
		et.sent(send, id, err, began, ended)
		if err != nil || t.readers.of(topic) == 0 && !tm.throughBroker(topic) {
			t.pending.close(et, err) // nobody gets it
		}
	}
}

// beginEvent begins the spans of an event, or returns nil for one that is not
// sampled.
func (t *Telemetry) beginEvent(ctx context.Context, topic string, e *stream.Event, tm *topicMetrics, now time.Time) (*eventTrace, trace.Span) {
	o := t.origin(ctx, e)
	setContext(e, trace.SpanContext{}) // an unsampled event carries no context to its readers
	if t.limited {
		if !t.sample(&o, now) {
			if o.follow {
				setContext(e, o.parent) // whose decision it was
			}
			return nil, nil
		}
		o.ctx = decided(o.ctx)
	}
	attributes := append(baggageOf(ctx), eventAttributes(topic, t.opts.Node, e)...)
	spanCtx, span := t.rec.tracer.Start(o.ctx, "event "+tm.name, trace.WithTimestamp(now), trace.WithLinks(o.links...), trace.WithAttributes(attributes...))
	if !span.SpanContext().IsSampled() {
		span.End()
		if o.follow {
			setContext(e, o.parent)
		}
		return nil, nil
	}
	_, send := t.rec.tracer.Start(spanCtx, "send "+tm.name, trace.WithTimestamp(now), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(append(messaging("send", "send", topic), keyTopic.String(topic), keyBodySize.Int(len(e.Data)))...))
	setContext(e, span.SpanContext())
	event := journey.Event{Topic: topic, Type: e.Type, Subject: e.Subject, Node: t.opts.Node, Published: now}
	et := newEventTrace(t.rec, span, refTo(span.SpanContext()), event, tm, t.readers.of(topic))
	et.send = send.SpanContext()
	et.spans = 2
	if t.limited && !o.follow {
		et.spans -= eventSpans // which it has taken already
	}
	e.Tag = et
	t.pending.add(et)
	return et, send
}

// messaging are the attributes that the semantic conventions give to what sends
// or takes a message.
func messaging(name, kind, topic string) []attribute.KeyValue {
	return []attribute.KeyValue{keySystem.String(serviceName), keyOperation.String(name), keyOperationType.String(kind), keyDestination.String(topic)}
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
	for _, m := range baggage.FromContext(ctx).Members() {
		if len(attributes) < maxBaggage && len(m.Value()) <= maxBaggageValue {
			attributes = append(attributes, attribute.String(baggagePrefix+m.Key(), m.Value()))
		}
	}
	return attributes
}

// dropReason is the sse.drop.reason of an event that was refused.
func dropReason(err error) string {
	switch {
	case errors.Is(err, stream.ErrUnavailable):
		return dropUnavailable
	case errors.Is(err, stream.ErrClosed):
		return dropClosed
	case errors.Is(err, stream.ErrInvalid):
		return dropInvalid
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return dropCanceled
	default:
		return dropOther
	}
}
