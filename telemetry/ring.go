package telemetry

import (
	"context"
	"encoding/binary"
	"sync"
	"time"
	"unsafe"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of the recent traces.
const (
	maxTraces     = 8192
	maxTraceBytes = 8 << 20
	// A publisher's own trace may have any number of events; so many are kept.
	maxTraceSpans  = 256
	maxTraceEvents = 64
)

// maxProcess is how many reports of browsers one event takes.
const maxProcess = 8

// A ring is a span processor that keeps the spans of the last events. The
// oldest trace makes room. Streams and requests are not kept: there is nothing
// that asks for them.
type ring struct {
	traces, bytes int // bounds

	mu    sync.Mutex
	byID  map[trace.TraceID]*ringTrace
	order []trace.TraceID // a queue, the oldest at head
	head  int
	size  int
	gone  [2]bloom // of what made room: the present generation and the one before
}

// A ringTrace is what is known of one trace.
type ringTrace struct {
	events []*ringEvent
	size   int
	spans  int
}

// A ringEvent is one event of a trace.
type ringEvent struct {
	id, topic  string
	send       trace.SpanContext
	sent       *ringSpan // nil for an event of another process
	received   time.Time // from the broker; zero without one
	deliveries []ringSpan
	processes  []ringSpan
	reports    int // of browsers
}

// A ringSpan is what is shown of a span.
type ringSpan struct {
	name, service, kind string
	stream              string
	began, ended        time.Time
}

func newRing(traces, bytes int) *ring {
	return &ring{traces: traces, bytes: bytes, byID: make(map[trace.TraceID]*ringTrace)}
}

// OnStart implements sdktrace.SpanProcessor.
func (r *ring) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// Shutdown implements sdktrace.SpanProcessor. What is held can still be read.
func (r *ring) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (r *ring) ForceFlush(context.Context) error { return nil }

// OnEnd implements sdktrace.SpanProcessor.
func (r *ring) OnEnd(s sdktrace.ReadOnlySpan) {
	sc := s.SpanContext()
	if !sc.IsSampled() || s.SpanKind() == trace.SpanKindServer {
		return
	}
	span := ringSpan{name: s.Name(), kind: s.SpanKind().String(), began: s.StartTime(), ended: s.EndTime()}
	var topic, id, pick string
	for _, a := range s.Attributes() {
		switch a.Key {
		case keyTopic:
			topic = a.Value.AsString()
		case keyEventID:
			id = a.Value.AsString()
		case keyStreamID:
			span.stream = a.Value.AsString()
		case keyDeliveryPick:
			pick = a.Value.AsString()
		}
	}
	if id == "" {
		return // no event's, or of an event that was refused
	}
	if v, ok := s.Resource().Set().Value(semconv.ServiceNameKey); ok {
		span.service = v.AsString()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch kind := s.SpanKind(); {
	case kind == trace.SpanKindProducer:
		if e := r.event(sc, topic, id); e != nil {
			sent := span // or each span would be on the heap
			e.sent = &sent
			r.grow(sc.TraceID(), 1)
		}
	case kind == trace.SpanKindConsumer:
		if e := r.event(s.Parent(), topic, id); e != nil && r.room(sc.TraceID()) {
			e.processes = append(e.processes, span)
			r.grow(sc.TraceID(), 1)
		}
	case pick != "":
		if e := r.event(s.Parent(), topic, id); e != nil && r.room(sc.TraceID()) {
			e.deliveries = append(e.deliveries, span)
			r.grow(sc.TraceID(), 1)
		}
	}
}

// received notes an event that came through the broker.
func (r *ring) received(send trace.SpanContext, topic, id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.event(send, topic, id); e != nil {
		e.received = now
	}
}

// A span and an event take about so much memory.
const (
	spanSize  = int(unsafe.Sizeof(ringSpan{})) + 96
	eventSize = int(unsafe.Sizeof(ringEvent{})) + 64
	traceSize = int(unsafe.Sizeof(ringTrace{})) + 96
)

// event returns the event that a send span made, and makes room for it when it
// is new. It returns nil when the trace has too many already. The caller holds
// r.mu.
func (r *ring) event(send trace.SpanContext, topic, id string) *ringEvent {
	key := send.TraceID()
	t := r.byID[key]
	if t == nil {
		t = &ringTrace{}
		r.byID[key] = t
		r.order = append(r.order, key)
		r.resize(t, traceSize)
	}
	for _, e := range t.events {
		if e.send.SpanID() == send.SpanID() {
			return e
		}
	}
	if len(t.events) >= maxTraceEvents {
		return nil
	}
	e := &ringEvent{id: id, topic: topic, send: send}
	t.events = append(t.events, e)
	r.resize(t, eventSize)
	if r.byID[key] != t {
		return nil // so large that it made room for itself
	}
	return e
}

func (r *ring) room(id trace.TraceID) bool {
	t := r.byID[id]
	return t != nil && t.spans < maxTraceSpans
}

func (r *ring) grow(id trace.TraceID, spans int) {
	if t := r.byID[id]; t != nil {
		t.spans += spans
		r.resize(t, spans*spanSize)
	}
}

func (r *ring) resize(t *ringTrace, by int) {
	t.size += by
	r.size += by
	for r.size > r.bytes || len(r.byID) > r.traces {
		r.evict()
	}
	if r.head > len(r.order)/2 && r.head > 64 {
		r.order = append(r.order[:0], r.order[r.head:]...)
		r.head = 0
	}
}

func (r *ring) evict() {
	id := r.order[r.head]
	r.head++
	r.size -= r.byID[id].size
	delete(r.byID, id)
	if r.gone[0].count >= bloomItems {
		r.gone[1], r.gone[0] = r.gone[0], bloom{}
	}
	r.gone[0].add(id)
}

// evicted reports whether a trace was held, as far as is remembered: one in
// some thousands is taken for one that was.
func (r *ring) evicted(id trace.TraceID) bool {
	return r.gone[0].has(id) || r.gone[1].has(id)
}

// A bloom filter remembers some thousands of traces in 64 kB. Trace IDs are
// random, so their bytes are the hashes.
type bloom struct {
	count int
	bits  []uint64
}

const (
	bloomBits  = 1 << 19
	bloomItems = 32768
)

func bloomHashes(id trace.TraceID) [4]uint32 {
	var h [4]uint32
	for i := range h {
		h[i] = binary.BigEndian.Uint32(id[4*i:]) % bloomBits
	}
	return h
}

func (b *bloom) add(id trace.TraceID) {
	if b.bits == nil {
		b.bits = make([]uint64, bloomBits/64)
	}
	b.count++
	for _, h := range bloomHashes(id) {
		b.bits[h/64] |= 1 << (h % 64)
	}
}

func (b *bloom) has(id trace.TraceID) bool {
	if b.bits == nil {
		return false
	}
	for _, h := range bloomHashes(id) {
		if b.bits[h/64]&(1<<(h%64)) == 0 {
			return false
		}
	}
	return true
}
