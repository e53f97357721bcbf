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

// observeBroker returns a broker that stores events as b does, and tells how long that
// took.
func observeBroker(b stream.Broker, kind BrokerKind, ts *topics) stream.Broker {
	observed := &observedBroker{Broker: b, topics: ts, kind: kind}
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
	topics *topics
	kind   BrokerKind
}

// Publish implements stream.Broker.
func (b *observedBroker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	began := time.Now()
	err := b.Broker.Publish(ctx, topic, p)
	ended := time.Now()
	tm := b.topics.of(topic)
	tm.brokered.Store(true)
	exemplar := context.Background()
	for _, e := range p.Events {
		if et, ok := e.Tag.(*eventTrace); ok {
			exemplar = trace.ContextWithSpanContext(exemplar, et.sc)
			et.stored(b.kind, began, ended, err)
		}
	}
	tm.broker.Record(exemplar, ended.Sub(began).Seconds())
	return err
}
