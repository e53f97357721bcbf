package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// lateAfter is the latency from which a delivery is late. A late delivery is told
// of even if its event was not sampled, or if the event's span has ended.
const lateAfter = 250 * time.Millisecond

// late tells of the event of a batch that waited longest, in a trace of its own.
// Limited to lateTraces a second. An event that is still open tells of its late
// deliveries itself.
func (c *connection) late(f *stream.Flush) {
	t := c.t
	var e *eventlog.Entry
	for _, entry := range f.Entries {
		if entry.Event != nil && entry.ID.After(f.Since) {
			e = entry
			break
		}
	}
	if e == nil || t.disabled {
		return
	}
	et, _ := e.Event.Tag.(*eventTrace)
	if et != nil && (!et.closed.Load() || et.lated.Swap(true)) || t.lates != nil && !allow(t.lates, f.Ended) {
		return
	}
	event := e.Event
	published := publishedAt(event, e.At)
	options := []trace.SpanStartOption{
		trace.WithTimestamp(published), trace.WithNewRoot(),
		trace.WithAttributes(append(eventAttributes(c.conn.Topic, event.Origin.Node, event), keyEventID.String(e.ID.String()))...),
	}
	if created := contextOf(event); created.IsValid() {
		options = append(options, trace.WithLinks(link(created, linkEvent)))
	}
	_, span := t.rec.tracer.Start(decided(context.Background()), "event "+c.conn.Label, options...)
	defer func() { span.End(trace.WithTimestamp(f.Ended)) }()
	sc := span.SpanContext()
	if !sc.IsSampled() {
		return
	}
	t.rec.budget.spend(2)
	d := delivery{conn: c, id: e.ID, at: e.At, began: f.Began, ended: f.Ended, batch: f.Events, gapped: c.gapped}
	c.topic.exemplar(d.ended.Sub(d.at), d.ended, t.rec.deliver(sc, &d, kindLive, d.at, pickLate))
	told := journey.Event{Topic: c.conn.Topic, ID: e.ID.String(), Type: event.Type, Subject: event.Subject, Node: event.Origin.Node, Published: published}
	t.rec.journeys.Deliver(refTo(sc), told, d.told(pickLate))
}
