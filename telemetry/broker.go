package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// A BrokerKind says what a broker is, in the words of the semantic conventions for
// databases.
type BrokerKind struct {
	// System is db.system.name, such as "redis".
	System string
	// Operation is db.operation.name of storing events, such as "XADD".
	Operation string
}

// Broker returns a broker that stores events as b does, and tells how long that
// took: a client span in the trace of each sampled event, and
// sse.server.broker.publish.duration. With nil it returns nil.
func (t *Telemetry) Broker(b stream.Broker, kind BrokerKind) stream.Broker {
	if b == nil || t.disabled {
		return b
	}
	observed := &observedBroker{Broker: b, t: t, kind: kind}
	if c, ok := b.(stream.Checkpointer); ok {
		return struct {
			*observedBroker
			stream.Checkpointer
		}{observed, c}
	}
	return observed
}

type observedBroker struct {
	stream.Broker
	t    *Telemetry
	kind BrokerKind
}

// Publish implements stream.Broker.
func (b *observedBroker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	began := time.Now()
	err := b.Broker.Publish(ctx, topic, p)
	ended := time.Now()
	tm := b.t.metrics.of(topic)
	tm.brokered.Store(true)
	exemplar := context.Background()
	for _, e := range p.Events {
		if et, ok := e.Tag.(*eventTrace); ok {
			exemplar = trace.ContextWithSpanContext(exemplar, et.sc)
			b.span(et, tm, began, ended, err)
		}
	}
	tm.broker.Record(exemplar, ended.Sub(began).Seconds())
	return err
}

// span makes the span of the broker's part: a child of send.
func (b *observedBroker) span(et *eventTrace, tm *topicMetrics, began, ended time.Time, err error) {
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.span == nil {
		return
	}
	et.spans++
	_, span := b.t.rec.tracer.Start(trace.ContextWithSpanContext(context.Background(), et.send), b.kind.Operation+" "+tm.name,
		trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(keyTopic.String(et.event.Topic), keyDBSystem.String(b.kind.System), keyDBOperation.String(b.kind.Operation)))
	if err != nil {
		fail(span, err)
	}
	span.End(trace.WithTimestamp(ended))
}
