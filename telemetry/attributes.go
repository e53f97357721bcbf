package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// The keys of attributes; the registry describes them.
const (
	keyTopic          = attribute.Key("sse.topic")
	keyGapReason      = attribute.Key("sse.gap.reason")
	keyGapFrom        = attribute.Key("sse.gap.from")
	keyGapTo          = attribute.Key("sse.gap.to")
	keyGapMissed      = attribute.Key("sse.gap.missed")
	keyDropReason     = attribute.Key("sse.drop.reason")
	keyRejectReason   = attribute.Key("sse.reject.reason")
	keyCloseReason    = attribute.Key("sse.close.reason")
	keyReportReason   = attribute.Key("sse.report.reason")
	keyProtocol       = attribute.Key("network.protocol.version")
	keyErrorType      = attribute.Key("error.type")
	keySession        = attribute.Key("session.id")
	keyNode           = attribute.Key("sse.node")
	keyIdentity       = attribute.Key("user.id")
	keyEventType      = attribute.Key("sse.event.type")
	keyEventID        = attribute.Key("sse.event.id")
	keySubject        = attribute.Key("sse.event.subject")
	keyConnection     = attribute.Key("sse.connection.id")
	keyStreamFormat   = attribute.Key("sse.stream.format")
	keyResumedFrom    = attribute.Key("sse.stream.resumed_from")
	keyDeliveryKind   = attribute.Key("sse.delivery.kind")
	keyDeliveryPick   = attribute.Key("sse.delivery.pick")
	keyDeliveryWait   = attribute.Key("sse.delivery.wait")
	keyBatchSize      = attribute.Key("sse.delivery.batch_size")
	keyBusy           = attribute.Key("sse.process.busy")
	keySegment        = attribute.Key("sse.segment.number")
	keySegmentLast    = attribute.Key("sse.segment.last")
	keySegmentEvents  = attribute.Key("sse.segment.delivered")
	keySegmentBytes   = attribute.Key("sse.segment.bytes")
	keySegmentDropped = attribute.Key("sse.segment.dropped")
	keySegmentGaps    = attribute.Key("sse.segment.gaps")
	keySegmentLatency = attribute.Key("sse.segment.latency.max")
	keySegmentLag     = attribute.Key("sse.segment.lag")
	keySegmentBlocked = attribute.Key("sse.segment.blocked")
	keySegmentUnread  = attribute.Key("sse.segment.unread")
	keyLink           = attribute.Key("sse.link")
	keySourceState    = attribute.Key("sse.source.state")
	keySystem         = attribute.Key("messaging.system")
	keyOperation      = attribute.Key("messaging.operation.name")
	keyOperationType  = attribute.Key("messaging.operation.type")
	keyDestination    = attribute.Key("messaging.destination.name")
	keyBodySize       = attribute.Key("messaging.message.body.size")
	keyDBSystem       = attribute.Key("db.system.name")
	keyDBOperation    = attribute.Key("db.operation.name")

	// baggagePrefix stands before the name of a member of a publisher's baggage.
	baggagePrefix = "baggage."
)

// Values of sse.link: what a link leads to.
const (
	linkIncoming = "incoming" // the trace context that a client sent
	linkPrevious = "previous" // the segment before
	linkStream   = "stream"   // the stream that an event was delivered on, or that a segment is of
	linkRequest  = "request"  // the request that published an event
	linkEvent    = "event"    // the event that was late, whose span has ended
)

// Values of sse.delivery.kind.
const (
	kindLive   = "live"
	kindReplay = "replay"
)

func link(to trace.SpanContext, what string) trace.Link {
	return trace.Link{SpanContext: to, Attributes: []attribute.KeyValue{keyLink.String(what)}}
}

// eventAttributes are the attributes of the span "event TOPIC". Node is where the
// event was published.
func eventAttributes(topic, node string, e *stream.Event) []attribute.KeyValue {
	list := []attribute.KeyValue{keyTopic.String(topic), keyEventType.String(e.Type), keyNode.String(node)}
	if e.Subject != "" {
		list = append(list, keySubject.String(e.Subject))
	}
	return list
}

// messaging are the attributes that the semantic conventions give to what sends
// or takes a message.
func messaging(name, kind, topic string) []attribute.KeyValue {
	return []attribute.KeyValue{keySystem.String(serviceName), keyOperation.String(name), keyOperationType.String(kind), keyDestination.String(topic)}
}

// errorType is the error.type of a connection that ended in a fault, else "".
func errorType(reason stream.CloseReason) string {
	switch reason {
	case stream.CloseSlow, closeVanished:
		return "timeout"
	case closeReset:
		return "reset"
	case closeError:
		return "write"
	case stream.ClosePanic:
		return "panic"
	default:
		return ""
	}
}
