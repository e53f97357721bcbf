package telemetry

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

var errPanic = errors.New("panic")

// How many spans the deliveries of one event get: so many, however many
// connections there are.
const (
	maxDeliver = 8
	maxRandom  = 3
	maxGapped  = 2
	maxLate    = 1 // those after slowestAfter, and replays
	// one for the first, and one for the slowest
)

// slowestAfter is how long after its first delivery an event's slowest is
// chosen.
const slowestAfter = time.Second

// closeEvery is how much later that may be, so that several are chosen at once.
const closeEvery = 250 * time.Millisecond

// Values of sse.delivery.pick: why a delivery got a span.
const (
	pickFirst   = "first"
	pickSlowest = "slowest"
	pickGapped  = "gapped"
	pickRandom  = "random"
	pickLate    = "late"
)

// An eventTrace is the Tag of a sampled event: it chooses which deliveries get
// spans. Any connection may deliver at any time.
type eventTrace struct {
	t     *Telemetry
	topic string
	sc    trace.SpanContext // of the send span
	odds  uint64            // that a delivery is one of the random few, of 1<<32

	begun   atomic.Bool
	slowest atomic.Int64 // latency of the candidate, in nanoseconds

	due time.Time // when the slowest is chosen; guarded by the mutex of t

	mu        sync.Mutex
	candidate delivery // for the slowest
	picked    []picked // that get their spans when it is chosen
	closed    bool     // it has been
	random    int
	gapped    int
	late      int
}

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

// refTo names the event that was created in a span.
func refTo(sc trace.SpanContext) journey.Ref {
	return journey.Ref{Trace: sc.TraceID(), Span: sc.SpanID()}
}

func (t *Telemetry) newEventTrace(topic string, sc trace.SpanContext, expected int64) *eventTrace {
	et := &eventTrace{t: t, topic: topic, sc: sc}
	if expected > 0 {
		et.odds = uint64(min(float64(maxRandom)/float64(expected), 1) * (1<<32 - 1))
	}
	return et
}

// chance reports whether a delivery shall be one of the random few. There are
// about as many of those as there may be, when each connection that was open at
// the publishing gets the event.
func (et *eventTrace) chance() bool { return uint64(rand.Uint32()) < et.odds }

// deliver is called for the deliveries that may be picked.
func (et *eventTrace) deliver(d *delivery) {
	latency := int64(d.ended.Sub(d.at))
	if !et.begun.Load() && et.begun.CompareAndSwap(false, true) {
		if !d.replay {
			et.slowest.CompareAndSwap(0, latency) // the candidate must be slower
		}
		et.await(d.ended)
		et.span(d, pickFirst)
		return
	}
	et.mu.Lock()
	pick := et.pick(d, latency)
	if pick != "" && !et.closed {
		// Later, when many spans are made one after the other: in the middle of a
		// fan-out each would cost several times as much.
		et.picked = append(et.picked, picked{*d, pick})
		pick = ""
	}
	et.mu.Unlock()
	if pick != "" {
		et.span(d, pick)
	}
}

// slower reports whether a delivery is to take the place of the slowest so far:
// by a twentieth at least. In a fan-out each delivery is a little slower than
// the one before, and they would all queue for the lock.
func (et *eventTrace) slower(latency int64) bool {
	slowest := et.slowest.Load()
	return latency > slowest+slowest/20
}

// pick decides on a delivery other than the first. The caller holds et.mu.
func (et *eventTrace) pick(d *delivery, latency int64) string {
	switch {
	case d.gapped && et.gapped < maxGapped:
		et.gapped++
		return pickGapped
	case d.chance && et.random < maxRandom:
		et.random++
		return pickRandom
	case d.replay || et.closed:
		if (d.replay || et.slower(latency)) && et.late < maxLate {
			et.late++
			return pickLate
		}
	case et.slower(latency):
		et.slowest.Store(latency)
		et.candidate = *d
	}
	return ""
}

// await sees to it that the slowest delivery is chosen.
func (et *eventTrace) await(now time.Time) {
	t := et.t
	t.mu.Lock()
	defer t.mu.Unlock()
	et.due = now.Add(slowestAfter)
	t.open = append(t.open, et)
	if !t.closing {
		t.closing = true
		time.AfterFunc(slowestAfter, t.closeDue)
	}
}

// closeDue closes the events whose time has come. It is called for several at
// once: a timer for each would wake the process as often again as events come.
func (t *Telemetry) closeDue() {
	now := time.Now()
	t.mu.Lock()
	n := 0
	for n < len(t.open) && !t.open[n].due.After(now) {
		n++
	}
	due := slices.Clone(t.open[:n])
	t.open = slices.Delete(t.open, 0, n)
	if t.closing = len(t.open) > 0; t.closing {
		time.AfterFunc(t.open[0].due.Sub(now)+closeEvery, t.closeDue)
	}
	t.mu.Unlock()
	for _, et := range due {
		et.close()
	}
}

// close makes the spans of what was picked, and that of the slowest delivery
// unless it has one.
func (et *eventTrace) close() {
	et.mu.Lock()
	spans := et.picked
	if !et.closed && et.candidate.conn != nil {
		spans = append(spans, picked{et.candidate, pickSlowest})
	}
	et.closed, et.candidate, et.picked = true, delivery{}, nil
	et.mu.Unlock()
	for i := range spans {
		et.span(&spans[i].delivery, spans[i].why)
	}
}

// span makes the span of a delivery: from the log to the flush; for a replay,
// which may be of long ago, from the beginning of the write.
func (et *eventTrace) span(d *delivery, pick string) {
	kind, from := kindLive, d.at
	if d.replay {
		kind, from = kindReplay, d.began
	}
	_, span := et.t.tracer.Start(trace.ContextWithSpanContext(context.Background(), et.sc), "deliver "+et.topic,
		trace.WithTimestamp(from),
		trace.WithLinks(trace.Link{SpanContext: d.conn.traceContext(), Attributes: []attribute.KeyValue{keyLink.String(linkStream)}}),
		trace.WithAttributes(
			keyTopic.String(et.topic), keyEventID.String(d.id.String()), keyStreamID.String(d.conn.conn.ID),
			keyDeliveryKind.String(kind), keyDeliveryPick.String(pick),
			keyDeliveryWait.Float64(d.began.Sub(from).Seconds()), keyBatchSize.Int(d.batch)))
	span.End(trace.WithTimestamp(d.ended))
	et.t.journeys.Deliver(refTo(et.sc), journey.Event{Topic: et.topic, ID: d.id.String()}, d.told(pick))
	if !d.replay {
		d.conn.topic.exemplar(d.ended.Sub(d.at), d.ended, span.SpanContext())
	}
}
