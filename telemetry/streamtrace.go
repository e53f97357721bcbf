package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/stream/eventlog"
)

// The ages of a stream at which a segment ends: these, and then every later
// multiple of segmentEvery. A trace is as long as traceEvery.
var segmentAges = []time.Duration{15 * time.Second, 30 * time.Second, time.Minute}

const (
	segmentEvery = 5 * time.Minute
	traceEvery   = time.Hour
	// ownTraceAfter is the age from which a segment with a fault is the root of a
	// trace of its own. A collector that samples by what is in a trace waits some
	// seconds for its spans and then decides: a fault in an hour-old trace would
	// come too late.
	ownTraceAfter = 5 * time.Second
	// maxGapEvents is how many gaps of a segment are told one by one.
	maxGapEvents = 16
)

// nextAge returns the age at which the segment ends that is open at an age.
func nextAge(age time.Duration) time.Duration {
	for _, a := range segmentAges {
		if age < a {
			return a
		}
	}
	return (age/segmentEvery + 1) * segmentEvery
}

// A streamTrace makes the spans of an open stream: its segments. Each ends while the
// stream is open, because an exporter sees a span only when it has ended. A segment's
// span is made when the segment ends, so a stream holds no span; unless events were
// lost: what is logged of that carries the span's IDs, so it is made at once.
//
// The stream's owner calls begin, gap and finish; the timer of the segments runs in a
// goroutine of its own; any goroutine may call the rest.
type streamTrace struct {
	topic   *topicMetrics
	slowest atomic.Int64 // latency within the segment, in nanoseconds

	rec     *recorder
	conn    *stream.Conn
	session string
	request spanRef      // the request's span
	missed  atomic.Int64 // events in gaps, as far as they are known
	gaps    atomic.Int64

	mu       sync.Mutex
	timer    *time.Timer // nil when the stream has no segments
	opened   time.Time
	began    time.Duration // when the segment began, after opened
	number   int
	before   counts        // at the beginning of the segment
	parent   spanRef       // root of the present trace; zero until the first segment of a new trace has ended
	previous spanRef       // the last segment
	lossy    *lossySegment // nil: nothing has been lost in the segment
	blocked  time.Duration // time blocked in writing before the segment began
}

// A lossySegment is a segment in which events were lost to the client.
type lossySegment struct {
	span trace.Span
	told int // gaps, up to maxGapEvents
}

// counts are a connection's, since it was opened.
type counts struct{ events, bytes, missed, gaps int64 }

func (st *streamTrace) counts() counts {
	return counts{st.conn.Events(), st.conn.Bytes(), st.missed.Load(), st.gaps.Load()}
}

// begin begins the first segment, which is a child of the request's span. A stream
// whose request is not sampled has no segments.
func (st *streamTrace) begin(now time.Time) {
	if !st.request.flags.IsSampled() {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.opened, st.parent = now, st.request
	st.timer = time.AfterFunc(segmentAges[0], st.tick)
}

// finish ends the last segment, and returns how many there were.
func (st *streamTrace) finish(now time.Time, reason stream.CloseReason, err error) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.timer != nil {
		st.timer.Stop()
		st.timer = nil
		st.segment(now, reason, err)
	}
	return st.number
}

// logContext carries the IDs of the request's span.
func (st *streamTrace) logContext() context.Context {
	return trace.ContextWithSpanContext(context.Background(), st.request.context())
}

// endContext carries the IDs of the last segment, which tells why the stream ended; of
// the request's span where there was no segment.
func (st *streamTrace) endContext() context.Context {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.previous.valid() {
		return st.logContext()
	}
	return trace.ContextWithSpanContext(context.Background(), st.previous.context())
}

// identity are the attributes by which every span of the stream can be found.
func (st *streamTrace) identity() []attribute.KeyValue {
	list := []attribute.KeyValue{
		keyTopic.String(st.conn.Topic), keyConnection.String(st.conn.ID), keySession.String(st.session), semconv.ClientAddress(clientHost(st.conn)),
	}
	if st.conn.UserAgent != "" {
		list = append(list, semconv.UserAgentOriginal(st.conn.UserAgent))
	}
	if st.conn.Identity != "" {
		list = append(list, keyIdentity.String(st.conn.Identity))
	}
	return list
}

// gap counts a gap, and puts it into the span of the segment, whose IDs the context
// carries that it returns.
func (st *streamTrace) gap(g *eventlog.Gap, now time.Time) context.Context {
	st.gaps.Add(1)
	st.missed.Add(int64(g.Missed))
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.timer == nil {
		return st.logContext()
	}
	if st.lossy == nil {
		st.lossy = &lossySegment{span: st.start(true)}
	}
	if st.lossy.told < maxGapEvents {
		st.lossy.told++
		st.lossy.span.AddEvent("sse.gap", trace.WithTimestamp(now), trace.WithAttributes(gapAttributes(g)...))
	}
	return trace.ContextWithSpanContext(context.Background(), st.lossy.span.SpanContext())
}

// tick ends a segment and begins the next.
func (st *streamTrace) tick() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.timer == nil {
		return // the stream ended meanwhile
	}
	now := time.Now()
	st.segment(now, "", nil)
	age := now.Sub(st.opened)
	if age/traceEvery > st.began/traceEvery {
		st.parent = spanRef{} // the next segment is the root of a new trace
	}
	st.began = age
	st.timer.Reset(st.opened.Add(nextAge(age)).Sub(now))
}

// segment makes the span of the segment that ends now. The caller holds st.mu.
func (st *streamTrace) segment(now time.Time, reason stream.CloseReason, err error) {
	st.number++
	after, slowest := st.counts(), st.slowest.Swap(0)
	attributes := append(st.identity(),
		keySegment.Int(st.number), keySegmentLast.Bool(reason != ""),
		keySegmentDropped.Int64(after.missed-st.before.missed), keySegmentGaps.Int64(after.gaps-st.before.gaps),
		keySegmentLatency.Float64(time.Duration(slowest).Seconds()),
	)
	// Events have gone out, and the connection has counted none: it is not one of a
	// stream.Handler, and knows neither how many nor how far behind it is.
	if foreign := slowest > 0 && after.events == 0; !foreign {
		attributes = append(attributes, keySegmentEvents.Int64(after.events-st.before.events), keySegmentBytes.Int64(after.bytes-st.before.bytes), keySegmentLag.Int64(int64(st.conn.Lag())))
	}
	attributes = append(attributes, st.written()...)
	st.before = after
	if reason != "" {
		attributes = append(attributes, keyCloseReason.String(string(reason)))
		if kind := errorType(reason); kind != "" {
			attributes = append(attributes, keyErrorType.String(kind))
		}
	}
	var span trace.Span
	if st.lossy != nil {
		span, st.lossy = st.lossy.span, nil
	} else {
		span = st.start(errorType(reason) != "" && now.Sub(st.opened) > ownTraceAfter)
	}
	span.SetAttributes(attributes...)
	if err != nil {
		span.RecordError(err, trace.WithTimestamp(now))
		span.SetStatus(codes.Error, err.Error())
	} else if errorType(reason) != "" {
		span.SetStatus(codes.Error, string(reason))
	}
	span.End(trace.WithTimestamp(now))
	st.previous = refOf(span.SpanContext())
	if !st.parent.valid() {
		st.parent = st.previous
	}
}

// start begins the span of the present segment. With a fault it is the root of a trace
// of its own. The caller holds st.mu.
func (st *streamTrace) start(fault bool) trace.Span {
	var links []trace.Link
	if st.previous.valid() {
		links = append(links, link(st.previous.context(), linkPrevious))
	}
	parent := st.parent
	if fault && parent.valid() {
		links = append(links, link(parent.context(), linkStream))
		parent = spanRef{}
	}
	ctx := decided(context.Background())
	if parent.valid() {
		ctx = trace.ContextWithSpanContext(ctx, parent.context())
	}
	_, span := st.rec.tracer.Start(ctx, "stream "+st.conn.Label, trace.WithTimestamp(st.opened.Add(st.began)), trace.WithLinks(links...))
	return span
}

// gapAttributes tell of a gap. How many events are missed is told if it is known.
func gapAttributes(g *eventlog.Gap) []attribute.KeyValue {
	list := []attribute.KeyValue{keyGapReason.String(g.Reason), keyGapFrom.String(g.From.String()), keyGapTo.String(g.To.String())}
	if g.Missed > 0 {
		list = append(list, keyGapMissed.Int64(int64(g.Missed)))
	}
	return list
}

// traceContext is where a delivery's link leads: the root of the stream's
// present trace.
func (st *streamTrace) traceContext() trace.SpanContext {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.parent.valid():
		return st.parent.context()
	case st.previous.valid():
		return st.previous.context() // the first segment of a later trace has no ID before it ends
	default:
		return st.request.context()
	}
}

// segments returns how many segments have ended so far.
func (st *streamTrace) segments() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.number
}

// written tells of the writes of the segment: for how long they waited, and how
// many bytes the client has yet to take.
func (st *streamTrace) written() []attribute.KeyValue {
	blocked := st.conn.Blocked()
	list := []attribute.KeyValue{keySegmentBlocked.Float64(max(0, blocked-st.blocked).Seconds())}
	st.blocked = blocked
	if unread, ok := st.conn.Unread(); ok {
		list = append(list, keySegmentUnread.Int64(unread))
	}
	return list
}
