package telemetry

import (
	"context"
	"errors"

	"weir/stream"
	"weir/stream/eventlog"
)

// Reasons are declared where they are given: those of gaps, ends and refusals by
// package stream, those of refusals by web beside it, and these here. Metrics have
// a series for each from the start. What is in no list counts as "_OTHER": a
// library's user may refuse for a reason of their own, see Options.RejectReasons.

// Reasons that package stream gives and has no exported constant for. A test holds
// them to what it gives.
const (
	closeReset    stream.CloseReason = "reset"
	closeVanished stream.CloseReason = "vanished"
	closeError    stream.CloseReason = "error"
)

// Reasons of sse.server.events.dropped, besides those of a gap: why an event was
// refused at publishing.
const (
	dropUnavailable = "unavailable" // the broker is away, or does not take events
	dropClosed      = "closed"      // the topic has ended
	dropInvalid     = "invalid"     // the event cannot be
	dropCanceled    = "canceled"    // the publisher went before it was acknowledged
	dropOther       = other
)

// Reasons of sse.client.reports.rejected.
const (
	reportMethod     = "method"
	reportOrigin     = "origin"
	reportMedia      = "content_type"
	reportSize       = "size"
	reportMalformed  = "malformed"
	reportRateLimit  = "rate"
	reportConnection = "connection"
	reportNode       = "node"
	reportUnknown    = "unknown_trace"
	reportTime       = "time"
	reportDuplicate  = "too_many"
)

var (
	gapReasons    = eventlog.GapReasons
	dropReasons   = append([]string{dropUnavailable, dropClosed, dropInvalid, dropCanceled, dropOther}, gapReasons...)
	reportReasons = []string{reportMethod, reportOrigin, reportMedia, reportSize, reportMalformed, reportRateLimit, reportConnection, reportNode, reportUnknown, reportTime, reportDuplicate}
	sourceStates  = []stream.SourceState{stream.SourceStarting, stream.SourceUp, stream.SourceFailing, stream.SourceDown, stream.SourceEnded}
)

// dropReason is the sse.drop.reason of an event that was refused.
func dropReason(err error) string {
	switch {
	case errors.Is(err, stream.ErrUnavailable):
		return dropUnavailable
	case errors.Is(err, stream.ErrClosed):
		return dropClosed
	case errors.Is(err, stream.ErrInvalid):
		return dropInvalid
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return dropCanceled
	default:
		return dropOther
	}
}
