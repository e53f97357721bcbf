package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"weir/telemetry/journey"
)

// A recorder takes what is told of events: their spans, and the journeys of those
// that are sampled. The budget knows how many spans there are.
type recorder struct {
	tracer   trace.Tracer
	browser  trace.Tracer // of what happens in the browser
	journeys *journey.Store
	budget   *budget
}

// deliver makes the span of a delivery, which counts from a time on.
func (rec *recorder) deliver(parent trace.SpanContext, d *delivery, kind string, from time.Time, pick string) trace.SpanContext {
	_, span := rec.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), "deliver "+d.conn.conn.Label,
		trace.WithTimestamp(from),
		trace.WithLinks(trace.Link{SpanContext: d.conn.traceContext(), Attributes: []attribute.KeyValue{keyLink.String(linkStream)}}),
		trace.WithAttributes(
			keyTopic.String(d.conn.conn.Topic), keyEventID.String(d.id.String()), keyConnection.String(d.conn.conn.ID), keySession.String(d.conn.session),
			keyDeliveryKind.String(kind), keyDeliveryPick.String(pick),
			keyDeliveryWait.Float64(d.began.Sub(from).Seconds()), keyBatchSize.Int(d.batch)))
	span.End(trace.WithTimestamp(d.ended))
	return span.SpanContext()
}
