package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

// receive takes up the trace of an event that came through a broker. On the node
// that published it, that is the event's own. On any other the event gets a span
// of this node's, which begins when it was published: so it encloses what
// happens here, and is itself a child of the publishing node's.
func (t *Telemetry) receive(topic string, e *stream.Event) {
	tm := t.metrics.of(topic)
	tm.brokered.Store(true)
	tm.fanout.Record(context.Background(), float64(t.readers.of(topic)))
	sc := contextOf(e)
	if !sc.IsSampled() {
		return
	}
	now := time.Now()
	et := t.pending.find(refTo(sc))
	if et == nil {
		et = t.elsewhere(sc, topic, e, tm, now)
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
	et.step(t.rec.tracer, "receive "+tm.name, trace.SpanKindConsumer, now, ended, nil,
		append(messaging("receive", "receive", topic), keyTopic.String(topic), keyEventID.String(event.ID))...)
	t.rec.journeys.Receive(et.ref, event, journey.Span{Began: now, Ended: ended})
	if t.readers.of(topic) == 0 {
		t.pending.close(et, nil) // nobody gets it here
	}
}

// elsewhere begins the span of an event that another node published.
func (t *Telemetry) elsewhere(sc trace.SpanContext, topic string, e *stream.Event, tm *topicMetrics, now time.Time) *eventTrace {
	published := publishedAt(e, now)
	_, span := t.rec.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), sc), "event "+tm.name, trace.WithTimestamp(published),
		trace.WithAttributes(append(eventAttributes(topic, e.Origin.Node, e), keyEventID.String(e.ID.String()))...))
	if !span.SpanContext().IsSampled() {
		span.End()
		return nil
	}
	event := journey.Event{Topic: topic, ID: e.ID.String(), Type: e.Type, Subject: e.Subject, Node: e.Origin.Node, Published: published}
	et := newEventTrace(t.rec, span, refTo(sc), event, tm, t.readers.of(topic))
	t.pending.add(et)
	return et
}
