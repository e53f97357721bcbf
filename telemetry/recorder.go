package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"weir/telemetry/journey"
)

// A recorder takes what is told of events and streams: their spans, and the journeys
// of the events. The budget knows how many spans of events there are.
type recorder struct {
	tracer   trace.Tracer
	browser  trace.Tracer // of what happens in the browser
	journeys *journey.Store
	budget   *budget
}

// deliver makes the span of a delivery, which counts from a time on.
func (rec *recorder) deliver(parent trace.SpanContext, d *delivery, kind string, from time.Time, pick string) trace.SpanContext {
	_, span := rec.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), "deliver "+d.to.conn.Label,
		trace.WithTimestamp(from),
		trace.WithLinks(trace.Link{SpanContext: d.to.traceContext(), Attributes: []attribute.KeyValue{keyLink.String(linkStream)}}),
		trace.WithAttributes(
			keyTopic.String(d.to.conn.Topic), keyEventID.String(d.id.String()), keyConnection.String(d.to.conn.ID), keySession.String(d.to.session),
			keyDeliveryKind.String(kind), keyDeliveryPick.String(pick),
			keyDeliveryWait.Float64(d.began.Sub(from).Seconds()), keyBatchSize.Int(d.batch)))
	span.End(trace.WithTimestamp(d.ended))
	return span.SpanContext()
}
