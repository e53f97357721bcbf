package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
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

// segments are the parts of an open stream that become spans. Each ends while the
// stream is open, because an exporter sees a span only when it has ended.
type segments struct {
	mu       sync.Mutex
	timer    *time.Timer // nil when the stream has no segments
	opened   time.Time
	began    time.Duration // when the segment began, after opened
	number   int
	before   counts  // at the beginning of the segment
	parent   spanRef // root of the present trace; zero until the first segment of a new trace has ended
	previous spanRef // the last segment
	lost     []lostEvents
	blocked  time.Duration // time blocked in writing before the segment began
}

// lostEvents describe one gap that the client was told of.
type lostEvents struct {
	at       time.Time
	reason   string
	from, to stream.ID
	missed   uint64
}

// counts are a connection's, since it was opened.
type counts struct{ events, bytes, missed, gaps int64 }

func (c *connection) counts() counts {
	return counts{c.conn.Events(), c.conn.Bytes(), c.missed.Load(), c.gaps.Load()}
}

// begin begins the first segment, which is a child of the request's span.
func (c *connection) begin(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened, c.parent = now, c.context
	c.timer = time.AfterFunc(segmentAges[0], c.tick)
}

// finish ends the last segment, and returns how many there were.
func (c *connection) finish(now time.Time, reason stream.CloseReason, err error) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
		c.segment(now, reason, err)
	}
	return c.number
}

// noteGap keeps a gap for the span of the segment.
func (c *connection) noteGap(g *eventlog.Gap, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil && len(c.lost) < maxGapEvents {
		c.lost = append(c.lost, lostEvents{now, g.Reason, g.From, g.To, g.Missed})
	}
}

// tick ends a segment and begins the next.
func (c *connection) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		return // the stream ended meanwhile
	}
	now := time.Now()
	c.segment(now, "", nil)
	age := now.Sub(c.opened)
	if age/traceEvery > c.began/traceEvery {
		c.parent = spanRef{} // the next segment is the root of a new trace
	}
	c.began = age
	c.timer.Reset(c.opened.Add(nextAge(age)).Sub(now))
}

// segment makes the span of the segment that ends now. The caller holds c.mu.
func (c *connection) segment(now time.Time, reason stream.CloseReason, err error) {
	c.number++
	after := c.counts()
	attributes := append(c.identity(),
		keySegment.Int(c.number), keySegmentLast.Bool(reason != ""),
		keySegmentEvents.Int64(after.events-c.before.events), keySegmentBytes.Int64(after.bytes-c.before.bytes),
		keySegmentDropped.Int64(after.missed-c.before.missed), keySegmentGaps.Int64(after.gaps-c.before.gaps),
		keySegmentLatency.Float64(time.Duration(c.slowest.Swap(0)).Seconds()), keySegmentLag.Int64(int64(c.conn.Lag())),
	)
	attributes = append(attributes, c.written()...)
	c.before = after
	if reason != "" {
		attributes = append(attributes, keyCloseReason.String(string(reason)))
		if kind := errorType(reason); kind != "" {
			attributes = append(attributes, keyErrorType.String(kind))
		}
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(c.opened.Add(c.began)), trace.WithAttributes(attributes...)}
	var links []trace.Link
	if c.previous.valid() {
		links = append(links, link(c.previous.context(), linkPrevious))
	}
	parent := c.parent
	if fault := errorType(reason) != "" || len(c.lost) > 0; fault && now.Sub(c.opened) > ownTraceAfter && parent.valid() {
		links = append(links, link(parent.context(), linkStream))
		parent = spanRef{}
	}
	ctx := decided(context.Background())
	if parent.valid() {
		ctx = trace.ContextWithSpanContext(ctx, parent.context())
	}
	_, span := c.t.rec.tracer.Start(ctx, "stream "+c.conn.Label, append(options, trace.WithLinks(links...))...)
	for _, g := range c.lost {
		span.AddEvent("sse.gap", trace.WithTimestamp(g.at), trace.WithAttributes(g.attributes()...))
	}
	c.lost = nil
	if err != nil {
		span.RecordError(err, trace.WithTimestamp(now))
		span.SetStatus(codes.Error, err.Error())
	} else if errorType(reason) != "" {
		span.SetStatus(codes.Error, string(reason))
	}
	span.End(trace.WithTimestamp(now))
	c.previous = refOf(span.SpanContext())
	if !c.parent.valid() {
		c.parent = c.previous
	}
}

// attributes tell of a gap. How many events are missed is told if it is known.
func (g lostEvents) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{keyGapReason.String(g.reason), keyGapFrom.String(g.from.String()), keyGapTo.String(g.to.String())}
	if g.missed > 0 {
		list = append(list, keyGapMissed.Int64(int64(g.missed)))
	}
	return list
}

// traceContext is where a delivery's link leads: the root of the stream's
// present trace.
func (c *connection) traceContext() trace.SpanContext {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.parent.valid():
		return c.parent.context()
	case c.previous.valid():
		return c.previous.context() // the first segment of a later trace has no ID before it ends
	default:
		return c.context.context()
	}
}

// StreamSegments returns how many segments of an open connection have been
// exported so far.
func (t *Telemetry) StreamSegments(connection string) int {
	c := t.conns.get(connection)
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.number
}

// written tells of the writes of the segment: for how long they waited, and how
// many bytes the client has yet to take.
func (c *connection) written() []attribute.KeyValue {
	blocked := c.conn.Blocked()
	list := []attribute.KeyValue{keySegmentBlocked.Float64((blocked - c.blocked).Seconds())}
	c.blocked = blocked
	if unread, ok := c.conn.Unread(); ok {
		list = append(list, keySegmentUnread.Int64(unread))
	}
	return list
}
