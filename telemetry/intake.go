package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// An intake follows events on their way in: from who publishes them, and from the
// broker. Those that are sampled get an eventTrace. Any goroutine may call its
// methods.
type intake struct {
	node    string
	limited bool // no sampler is configured: the budget of rec says which events are sampled
	rec     *recorder
	pending *pendingEvents
	topics  *topics
	readers *readers
}

// sample decides whether an event gets a trace, where OTEL_TRACES_SAMPLER does
// not.
func (in *intake) sample(a *ancestry, now time.Time) bool {
	if a.follow {
		return a.parent.IsSampled()
	}
	// Published by a request without a span, or by none, it begins a trace.
	return (a.parent.IsSampled() || !a.parent.IsValid()) && in.rec.budget.take(now)
}

// publish is called before an event enters.
func (in *intake) publish(ctx context.Context, topic string, e *stream.Event) func(stream.ID, error) {
	tm := in.topics.of(topic)
	began := time.Now()
	e.Origin = eventlog.Origin{Node: in.node, Published: began}
	et, send := in.begin(ctx, topic, e, tm, began)
	published := tm.publishedAs(e.Type)
	return func(id stream.ID, err error) {
		ended := time.Now()
		if errors.Is(err, stream.ErrDuplicate) { // nothing has entered
			tm.acknowledged(et.context(), ended.Sub(began), nil)
			if et != nil {
				et.held(send, id, ended)
				in.pending.close(et, nil)
			}
			return
		}
		tm.acknowledged(et.context(), ended.Sub(began), err)
		if err != nil {
			add(tm.dropped, dropReason(err), 1)
		} else {
			published.Add(1)
			if !tm.throughBroker(topic) { // else it is counted when it comes back
				tm.fanout.Record(et.context(), float64(in.readers.of(topic)))
			}
		}
		if et == nil {
			return
		}
		et.sent(send, id, err, began, ended)
		if err != nil || in.readers.of(topic) == 0 && !tm.throughBroker(topic) {
			in.pending.close(et, err) // nobody gets it
		}
	}
}

// begin begins the spans of an event, or returns nil for one that is not
// sampled.
func (in *intake) begin(ctx context.Context, topic string, e *stream.Event, tm *topicMetrics, now time.Time) (*eventTrace, trace.Span) {
	a := ancestryOf(ctx, e)
	setContext(e, trace.SpanContext{}) // an unsampled event carries no context to its readers
	if in.limited {
		if !in.sample(&a, now) {
			if a.follow {
				setContext(e, a.parent) // whose decision it was
			}
			return nil, nil
		}
		a.ctx = decided(a.ctx)
	}
	attributes := append(baggageOf(ctx), eventAttributes(topic, in.node, e)...)
	spanCtx, span := in.rec.tracer.Start(a.ctx, "event "+tm.name, trace.WithTimestamp(now), trace.WithLinks(a.links...), trace.WithAttributes(attributes...))
	if !span.SpanContext().IsSampled() {
		span.End()
		if a.follow {
			setContext(e, a.parent)
		}
		return nil, nil
	}
	_, send := in.rec.tracer.Start(spanCtx, "send "+tm.name, trace.WithTimestamp(now), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(append(messaging("send", "send", topic), keyTopic.String(topic), keyBodySize.Int(len(e.Data)))...))
	setContext(e, span.SpanContext())
	event := journey.Event{Topic: topic, Type: e.Type, Subject: e.Subject, Node: in.node, Published: now}
	et := newEventTrace(in.rec, span, refTo(span.SpanContext()), event, tm, in.readers.of(topic))
	et.send = send.SpanContext()
	et.spans = 2
	if in.limited && !a.follow {
		et.spans -= eventSpans // which it has taken already
	}
	e.Tag = et
	in.pending.add(et)
	return et, send
}

// receive takes up the trace of an event that came through a broker. On the node
// that published it, that is the event's own. On any other the event gets a span
// of this node's, which begins when it was published: so it encloses what
// happens here, and is itself a child of the publishing node's.
func (in *intake) receive(topic string, e *stream.Event) {
	tm := in.topics.of(topic)
	tm.brokered.Store(true)
	tm.fanout.Record(context.Background(), float64(in.readers.of(topic)))
	sc := contextOf(e)
	if !sc.IsSampled() {
		return
	}
	now := time.Now()
	et := in.pending.find(refTo(sc))
	if et == nil {
		et = in.elsewhere(sc, topic, e, tm, now)
	}
	if et == nil {
		return
	}
	e.Tag = et
	et.mu.Lock()
	et.id, et.event.ID = e.ID, e.ID.String()
	event := et.event
	et.mu.Unlock()
	ended := time.Now()
	et.step(in.rec.tracer, "receive "+tm.name, trace.SpanKindConsumer, now, ended, nil,
		append(messaging("receive", "receive", topic), keyTopic.String(topic), keyEventID.String(event.ID))...)
	in.rec.journeys.Receive(et.ref, event, journey.Span{Began: now, Ended: ended})
	if in.readers.of(topic) == 0 {
		in.pending.close(et, nil) // nobody gets it here
	}
}

// elsewhere begins the span of an event that another node published.
func (in *intake) elsewhere(sc trace.SpanContext, topic string, e *stream.Event, tm *topicMetrics, now time.Time) *eventTrace {
	published := publishedAt(e, now)
	_, span := in.rec.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), sc), "event "+tm.name, trace.WithTimestamp(published),
		trace.WithAttributes(append(eventAttributes(topic, e.Origin.Node, e), keyEventID.String(e.ID.String()))...))
	if !span.SpanContext().IsSampled() {
		span.End()
		return nil
	}
	event := journey.Event{Topic: topic, ID: e.ID.String(), Type: e.Type, Subject: e.Subject, Node: e.Origin.Node, Published: published}
	et := newEventTrace(in.rec, span, refTo(sc), event, tm, in.readers.of(topic))
	in.pending.add(et)
	return et
}

// maxPublishedAgo is how old an event may be for the time since its publishing to
// be told as its way through the broker. Of an older one it is not known whether it was on
// its way for so long, or whether the clocks differ.
const maxPublishedAgo = time.Minute

// publishedAt returns when an event was published, by its publisher's clock. It
// returns latest, the time at which this node had the event, if the clocks differ
// or the event is older than maxPublishedAgo.
func publishedAt(e *stream.Event, latest time.Time) time.Time {
	at := e.Origin.Published
	if at.IsZero() || at.After(latest) || latest.Sub(at) > maxPublishedAgo {
		return latest
	}
	return at
}
