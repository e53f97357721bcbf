package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// lateAfter is the latency from which a delivery is late. A late delivery is told
// of even if its event was not sampled, or if the event's span has ended.
const lateAfter = 250 * time.Millisecond

// lateEvents gives events that were late a trace of their own. Any goroutine may call
// its method.
type lateEvents struct {
	rec   *recorder
	limit *rate.Limiter // nil: a sampler decides
}

// tell tells of the event of a batch that waited longest, if the limit allows it. An
// event that is pending tells of its late deliveries itself.
func (l *lateEvents) tell(to *streamTrace, f *stream.Flush, gapped bool) {
	var e *eventlog.Entry
	for _, entry := range f.Entries {
		if entry.Event != nil && entry.ID.After(f.Since) {
			e = entry
			break
		}
	}
	if e == nil {
		return
	}
	et, _ := e.Event.Tag.(*eventTrace)
	if et != nil && (!et.closed.Load() || et.lated.Swap(true)) || l.limit != nil && !allow(l.limit, f.Ended) {
		return
	}
	event := e.Event
	published := publishedAt(event, e.At)
	options := []trace.SpanStartOption{
		trace.WithTimestamp(published), trace.WithNewRoot(),
		trace.WithAttributes(append(eventAttributes(to.conn.Topic, event.Origin.Node, event), keyEventID.String(e.ID.String()))...),
	}
	if created := contextOf(event); created.IsValid() {
		options = append(options, trace.WithLinks(link(created, linkEvent)))
	}
	_, span := l.rec.tracer.Start(decided(context.Background()), "event "+to.conn.Label, options...)
	defer func() { span.End(trace.WithTimestamp(f.Ended)) }()
	sc := span.SpanContext()
	if !sc.IsSampled() {
		return
	}
	l.rec.budget.spend(2)
	d := delivery{to: to, id: e.ID, at: e.At, began: f.Began, ended: f.Ended, batch: f.Events, gapped: gapped}
	to.topic.exemplar(d.ended.Sub(d.at), d.ended, l.rec.deliver(sc, &d, kindLive, d.at, pickLate))
	if et != nil {
		return // its own journey has it
	}
	told := journey.Event{Topic: to.conn.Topic, ID: e.ID.String(), Type: event.Type, Subject: event.Subject, Node: event.Origin.Node, Published: published}
	l.rec.journeys.Deliver(refTo(sc), told, d.told(pickLate))
}
