package telemetry

import (
	"go.opentelemetry.io/otel/attribute"

	"weir/stream"
)

// The keys of attributes; registry.yaml describes them.
const (
	keyTopic          = attribute.Key("topic")
	keyReason         = attribute.Key("reason")
	keyProtocol       = attribute.Key("network.protocol.version")
	keyErrorType      = attribute.Key("error.type")
	keyEventType      = attribute.Key("sse.event.type")
	keyEventID        = attribute.Key("sse.event.id")
	keyStreamID       = attribute.Key("sse.stream.id")
	keyStreamFormat   = attribute.Key("sse.stream.format")
	keyResumedFrom    = attribute.Key("sse.stream.resumed_from")
	keyCloseReason    = attribute.Key("sse.close.reason")
	keyRejectReason   = attribute.Key("sse.reject.reason")
	keyDeliveryKind   = attribute.Key("sse.delivery.kind")
	keyDeliveryPick   = attribute.Key("sse.delivery.pick")
	keyDeliveryWait   = attribute.Key("sse.delivery.wait")
	keyBatchSize      = attribute.Key("sse.delivery.batch_size")
	keySegment        = attribute.Key("sse.segment.number")
	keySegmentEvents  = attribute.Key("sse.segment.delivered")
	keySegmentBytes   = attribute.Key("sse.segment.bytes")
	keySegmentDropped = attribute.Key("sse.segment.dropped")
	keySegmentGaps    = attribute.Key("sse.segment.gaps")
	keySegmentLatency = attribute.Key("sse.segment.latency.max")
	keyLink           = attribute.Key("sse.link")
	keySystem         = attribute.Key("messaging.system")
	keyOperation      = attribute.Key("messaging.operation.name")
	keyOperationType  = attribute.Key("messaging.operation.type")
	keyDestination    = attribute.Key("messaging.destination.name")
	keyBodySize       = attribute.Key("messaging.message.body.size")
)

// Values of sse.link: what a link leads to.
const (
	linkIncoming = "incoming" // the traceparent that a client sent
	linkPrevious = "previous" // the segment before
	linkStream   = "stream"   // the stream that an event was delivered on
	linkRequest  = "request"  // the request that published an event
)

// Values of sse.delivery.kind.
const (
	kindLive   = "live"
	kindReplay = "replay"
)

// other stands for what is not in a bounded set.
const other = "_OTHER"

// Reasons of sse.server.events.dropped other than those of a gap.
const (
	dropUnavailable = "unavailable"
	dropClosed      = "closed"
	dropInvalid     = "invalid"
)

// errorType is the error.type of a connection that ended in a fault, else "".
func errorType(reason stream.CloseReason) string {
	switch reason {
	case stream.CloseSlow:
		return "timeout"
	case stream.CloseError:
		return "write"
	case stream.ClosePanic:
		return "panic"
	default:
		return ""
	}
}
