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
	return &observedBroker{Broker: b, topics: ts, kind: kind}
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

// Checkpoint implements stream.Checkpointer: a broker that is none has no checkpoint.
func (b *observedBroker) Checkpoint(ctx context.Context, topic string) ([]byte, error) {
	if c, ok := b.Broker.(stream.Checkpointer); ok {
		return c.Checkpoint(ctx, topic)
	}
	return nil, nil
}

// Forget implements stream.Forgetter: a broker that is none is not told.
func (b *observedBroker) Forget(ctx context.Context, topics ...string) error {
	if f, ok := b.Broker.(stream.Forgetter); ok {
		return f.Forget(ctx, topics...)
	}
	return nil
}
