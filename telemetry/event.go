package telemetry

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

// How many spans the deliveries of one event get: eight in all, however many
// connections there are.
const (
	maxRandom   = 3
	maxGapped   = 2
	maxReported = 1 // to a page that reported, if that delivery has no span yet
	// maxProcess is how many pages get a span, beside those that were late.
	maxProcess = 3
	// one for the first, and one for the slowest
)

// How long an event is pending. Its span ends when its way is known: when the slowest
// delivery is known, and the pages that report have reported.
const (
	// slowestAfter is how long after its first delivery an event's slowest is
	// chosen.
	slowestAfter = time.Second
	// reportsAfter is how long after its first delivery the reports of pages are
	// awaited. A page sends them once a second.
	reportsAfter = 3 * time.Second
	// heardAfter is how long the first delivery is awaited.
	heardAfter = 2 * time.Second
)

// An eventTrace is the Tag of a sampled event. It ends the span "event TOPIC" when
// the event's way is known, and chooses which deliveries get spans.
// Any connection may deliver at any time.
type eventTrace struct {
	rec  *recorder
	tm   *topicMetrics
	ref  journey.Ref       // that the event's readers get: on each node the same
	sc   trace.SpanContext // of this node's event span, the parent of the others
	odds uint64            // of a delivery to be one of the random few: odds in 1<<32

	since   time.Time                 // when it became pending
	first   atomic.Pointer[time.Time] // when it was first delivered; nil: not yet
	closed  atomic.Bool               // the event span has ended
	lated   atomic.Bool               // a late delivery has been told of since then
	slowest atomic.Int64              // latency of the candidate, in nanoseconds
	awaited atomic.Int32              // deliveries to pages that report
	reports atomic.Int32              // reports of pages that have come

	mu        sync.Mutex
	span      trace.Span        // the event's; nil when closed
	send      trace.SpanContext // on the node that published it
	event     journey.Event
	id        stream.ID // of the event, when it is known
	ended     time.Time // of the last step that is known
	candidate delivery  // for the slowest
	picked    []picked  // that get their spans when the event is closed
	random    int       // like gapped and reported: how many are picked for that
	gapped    int
	reported  int
	spans     int // made, less those that the budget knows of
}

// newEventTrace follows an event whose span has begun. The number of its topic's
// readers is how many deliveries are expected.
func newEventTrace(rec *recorder, span trace.Span, ref journey.Ref, e journey.Event, tm *topicMetrics, readers int) *eventTrace {
	et := &eventTrace{rec: rec, tm: tm, ref: ref, sc: span.SpanContext(), span: span, event: e, ended: e.Published, spans: 1, since: time.Now()}
	if readers > 0 {
		et.odds = uint64(min(float64(maxRandom)/float64(readers), 1) * (1<<32 - 1))
	}
	return et
}

// context has the event's span, so that a histogram's exemplar leads to it. A nil
// eventTrace has none.
func (et *eventTrace) context() context.Context {
	if et == nil {
		return context.Background()
	}
	return trace.ContextWithSpanContext(context.Background(), et.sc)
}

// sent is called when the event is in the log or in the broker, or was refused.
func (et *eventTrace) sent(send trace.Span, id stream.ID, err error, began, ended time.Time) {
	if err != nil {
		fail(send, err)
	} else {
		send.SetAttributes(keyEventID.String(id.String()))
	}
	send.End(trace.WithTimestamp(ended))
	et.mu.Lock()
	et.last(ended)
	if err == nil {
		et.id, et.event.ID = id, id.String()
	}
	event := et.event
	et.mu.Unlock()
	if err == nil {
		et.rec.journeys.Publish(et.ref, event, journey.Span{Began: began, Ended: ended})
	}
}

// held is called when the topic has held the event before: what was sent is no event, and
// has no journey.
func (et *eventTrace) held(send trace.Span, id stream.ID, ended time.Time) {
	send.SetAttributes(keyEventID.String(id.String()))
	send.End(trace.WithTimestamp(ended))
	et.mu.Lock()
	defer et.mu.Unlock()
	et.last(ended)
}

// stored makes the span of the broker's part: a child of send.
func (et *eventTrace) stored(kind BrokerKind, began, ended time.Time, err error) {
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.span == nil {
		return
	}
	et.spans++
	_, span := et.rec.tracer.Start(trace.ContextWithSpanContext(context.Background(), et.send), kind.Operation+" "+et.tm.name,
		trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(keyTopic.String(et.event.Topic), keyDBSystem.String(kind.System), keyDBOperation.String(kind.Operation)))
	if err != nil {
		fail(span, err)
	}
	span.End(trace.WithTimestamp(ended))
}

// chance reports whether a delivery shall be one of the random few. There are
// about as many of those as there may be, when each connection that was open at
// the publishing gets the event.
func (et *eventTrace) chance() bool { return uint64(rand.Uint32()) < et.odds }

// wants reports whether a delivery may be picked: most are not, and cost no lock.
func (et *eventTrace) wants(latency int64, gapped, chance bool) bool {
	return chance || gapped || et.slower(latency) || et.first.Load() == nil
}

// deliver is called for the deliveries that may be picked, while the event is
// pending.
func (et *eventTrace) deliver(d *delivery) {
	latency := int64(d.ended.Sub(d.at))
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.span == nil {
		return
	}
	et.last(d.ended)
	switch {
	case et.first.Load() == nil:
		at := d.ended
		et.first.Store(&at)
		et.slowest.Store(max(latency, 1)) // the candidate must be slower
		// The spans come later, when many are made one after the other: in the
		// middle of a fan-out each would cost several times as much.
		et.picked = append(et.picked, picked{*d, pickFirst})
	case d.gapped && et.gapped < maxGapped:
		et.gapped++
		et.picked = append(et.picked, picked{*d, pickGapped})
	case d.chance && et.random < maxRandom:
		et.random++
		et.picked = append(et.picked, picked{*d, pickRandom})
	case !d.replay && et.slower(latency):
		et.slowest.Store(latency)
		et.candidate = *d
		return
	default:
		return
	}
	et.rec.journeys.Deliver(et.ref, et.event, d.told(et.picked[len(et.picked)-1].why))
}

// slower reports whether a delivery is to take the place of the slowest so far:
// by a twentieth at least. In a fan-out each delivery is a little slower than
// the one before, and they would all queue for the lock.
func (et *eventTrace) slower(latency int64) bool {
	slowest := et.slowest.Load()
	return latency > slowest+slowest/20
}

// later notes with the journeys a delivery after the event's span has ended, if it is
// slower than those that are noted. It gets no span here: see lateEvents.
func (et *eventTrace) later(d *delivery) {
	latency := int64(d.ended.Sub(d.at))
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.slower(latency) {
		et.slowest.Store(latency)
		et.rec.journeys.Deliver(et.ref, et.event, d.told(pickLate))
	}
}

// pickReported gives the delivery to a page that reported a span, so that what the
// page saw is whole.
func (et *eventTrace) pickReported(to *streamTrace, d journey.Delivery) {
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.span == nil || et.reported >= maxReported || et.candidate.to == to {
		return
	}
	for i := range et.picked {
		if et.picked[i].to == to {
			return
		}
	}
	et.reported++
	id := et.id
	et.picked = append(et.picked, picked{delivery{to: to, id: id, at: d.Entered, began: d.Began, ended: d.Ended, batch: d.Batch, replay: d.Replay, gapped: d.Gapped}, pickReported})
}

// known reports whether the event's way is known, or waited for no longer.
func (et *eventTrace) known(now time.Time) bool {
	first := et.first.Load()
	if first == nil {
		return !now.Before(et.since.Add(heardAfter))
	}
	return !now.Before(first.Add(slowestAfter)) && (!et.awaitsReports() || !now.Before(first.Add(reportsAfter)))
}

// awaitsReports reports whether pages got the event that have not told of it.
func (et *eventTrace) awaitsReports() bool {
	return et.reports.Load() < min(et.awaited.Load(), journey.MaxReports)
}

// last notes when a step ended. The caller holds et.mu.
func (et *eventTrace) last(at time.Time) {
	if at.After(et.ended) {
		et.ended = at
	}
}

// until notes a step that gets no span.
func (et *eventTrace) until(ended time.Time) {
	et.mu.Lock()
	defer et.mu.Unlock()
	et.last(ended)
}

// step makes the span of a step of the event, unless the event is closed already.
func (et *eventTrace) step(tracer trace.Tracer, name string, kind trace.SpanKind, began, ended time.Time, links []trace.Link, attributes ...attribute.KeyValue) trace.SpanContext {
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.span == nil {
		return trace.SpanContext{}
	}
	et.last(ended)
	et.spans++
	_, span := tracer.Start(trace.ContextWithSpanContext(context.Background(), et.sc), name,
		trace.WithTimestamp(began), trace.WithSpanKind(kind), trace.WithLinks(links...), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(ended))
	return span.SpanContext()
}

// close makes the spans of what was picked, and ends the event's own: when its
// last step ended. It may be called more than once.
func (et *eventTrace) close(err error) {
	et.mu.Lock()
	defer et.mu.Unlock()
	if et.span == nil {
		return
	}
	if et.candidate.to != nil {
		et.picked = append(et.picked, picked{et.candidate, pickSlowest})
		et.rec.journeys.Deliver(et.ref, et.event, et.candidate.told(pickSlowest))
	}
	for i := range et.picked {
		et.deliverSpan(&et.picked[i].delivery, et.picked[i].why)
	}
	if et.event.ID != "" {
		et.span.SetAttributes(keyEventID.String(et.event.ID))
	}
	if err != nil {
		fail(et.span, err)
	}
	et.span.End(trace.WithTimestamp(et.ended))
	et.rec.budget.spend(et.spans + len(et.picked))
	et.span, et.candidate, et.picked = nil, delivery{}, nil
	et.closed.Store(true)
}

// fail marks the span of an event that was refused.
func fail(span trace.Span, err error) {
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(keyErrorType.String(dropReason(err)))
}

// deliverSpan makes the span of a delivery: from the log to the flush; for a
// replay, which may be of long ago, from the beginning of the write.
func (et *eventTrace) deliverSpan(d *delivery, pick string) {
	kind, from := kindLive, d.at
	if d.replay {
		kind, from = kindReplay, d.began
	}
	span := et.rec.deliver(et.sc, d, kind, from, pick)
	if !d.replay {
		d.to.topic.exemplar(d.ended.Sub(d.at), d.ended, span)
	}
}
