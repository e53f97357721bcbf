package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

// Values of sse.delivery.pick: why a delivery got a span.
const (
	pickFirst    = "first"
	pickSlowest  = "slowest"
	pickGapped   = "gapped"
	pickRandom   = "random"
	pickReported = "reported"
	pickLate     = "late"
)

// A picked is a delivery that gets a span, and why.
type picked struct {
	delivery
	why string
}

// A delivery is one event on its way to one client.
type delivery struct {
	conn             *connection
	id               stream.ID
	at, began, ended time.Time // in the log, write began, flushed
	batch            int       // events written together
	replay, gapped   bool
	chance           bool // it is one of the random few, if they are not too many
}

// told is the delivery as journeys tell it.
func (d *delivery) told(why string) journey.Delivery {
	return journey.Delivery{
		Connection: d.conn.conn.ID, Entered: d.at, Began: d.began, Ended: d.ended,
		Batch: d.batch, Replay: d.replay, Gapped: d.gapped, Why: why,
	}
}

// deliverSpan makes the span of a delivery, which counts from a time on.
func (t *Telemetry) deliverSpan(parent trace.SpanContext, d *delivery, kind string, from time.Time, pick string) trace.SpanContext {
	_, span := t.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), "deliver "+d.conn.conn.Label,
		trace.WithTimestamp(from),
		trace.WithLinks(trace.Link{SpanContext: d.conn.traceContext(), Attributes: []attribute.KeyValue{keyLink.String(linkStream)}}),
		trace.WithAttributes(
			keyTopic.String(d.conn.conn.Topic), keyEventID.String(d.id.String()), keyConnection.String(d.conn.conn.ID), keySession.String(d.conn.session),
			keyDeliveryKind.String(kind), keyDeliveryPick.String(pick),
			keyDeliveryWait.Float64(d.began.Sub(from).Seconds()), keyBatchSize.Int(d.batch)))
	span.End(trace.WithTimestamp(d.ended))
	return span.SpanContext()
}
