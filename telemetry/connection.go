package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

// The ages of a stream at which a segment ends: these, and then every later
// multiple of segmentEvery. A trace is as long as traceEvery.
var segmentAges = []time.Duration{15 * time.Second, 30 * time.Second, time.Minute}

const (
	segmentEvery = 5 * time.Minute
	traceEvery   = time.Hour
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

// A connection observes one stream. Its hooks are called by the goroutine that
// has the stream; the timer of the segments runs beside it. There may be tens
// of thousands, so it holds what it must and no span: a segment's span is made
// when the segment ends.
type connection struct {
	// What every delivery needs comes first, in one cache line.
	topic   *topicMetrics
	slowest atomic.Int64 // latency within the segment, in nanoseconds
	live    bool         // the replay is over; of the goroutine that has the stream, as is the next
	gapped  bool         // the next event comes behind a gap

	t         *Telemetry
	conn      *stream.Conn
	establish *establishment // nil once the client has the headers
	context   spanRef        // of the establishing span
	missed    atomic.Int64   // events that the client was told are lost
	gaps      atomic.Int64
	replay    int64                          // events, until the replay is over
	reader    atomic.Pointer[journey.Reader] // nil unless a page is on the other end

	mu       sync.Mutex
	timer    *time.Timer // nil when the stream has no segments
	opened   time.Time
	began    time.Duration // after opened: the segment
	segments int
	before   counts  // at the beginning of the segment
	parent   spanRef // root of the present trace; not valid before the first segment of a later trace
	previous spanRef // the last segment
}

// A spanRef is the context of a span made here, in less than half the space of
// a trace.SpanContext.
type spanRef struct {
	trace trace.TraceID
	span  trace.SpanID
	flags trace.TraceFlags
}

func refOf(sc trace.SpanContext) spanRef {
	return spanRef{sc.TraceID(), sc.SpanID(), sc.TraceFlags()}
}

func (r spanRef) valid() bool { return r.span.IsValid() }

func (r spanRef) context() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: r.trace, SpanID: r.span, TraceFlags: r.flags})
}

// counts are a connection's, since it was opened.
type counts struct{ events, bytes, missed, gaps int64 }

func (c *connection) counts() counts {
	return counts{c.conn.Events(), c.conn.Bytes(), c.missed.Load(), c.gaps.Load()}
}

// connect begins the observation of a connection that has been admitted.
func (t *Telemetry) connect(r *http.Request, conn *stream.Conn) stream.ConnHooks {
	c := &connection{t: t, conn: conn, topic: t.metrics.topic(conn.Topic)}
	c.live = conn.ResumedFrom.IsZero()
	c.establish, _ = r.Context().Value(establishKey{}).(*establishment)
	if c.establish == nil { // no middleware
		c.establish = &establishment{t: t, r: r, began: conn.Started}
	}
	c.establish.start(true)
	c.context = refOf(c.establish.span.SpanContext())
	c.establish.set(keyTopic.String(conn.Topic), keyStreamID.String(conn.ID), keyStreamFormat.String(string(conn.Format)))
	if !conn.ResumedFrom.IsZero() {
		c.establish.set(keyResumedFrom.String(conn.ResumedFrom.String()))
	}
	if r.Header.Get("Sec-Fetch-Site") == "same-origin" { // a page of this server, which may ask for its own journeys
		c.reader.Store(t.journeys.Reader(conn.ID))
	}
	c.topic.opened(conn.Protocol, +1)
	t.mu.Lock()
	t.conns[conn.ID] = c
	t.mu.Unlock()
	return stream.ConnHooks{
		Traceparent: traceparent(c.context.context()),
		Open:        c.open,
		Flush:       c.flush,
		Gap:         c.gap,
		Heartbeat:   c.heartbeat,
		Disconnect:  c.disconnect,
	}
}

// logContext carries the IDs of the establishing span.
func (c *connection) logContext() context.Context {
	return trace.ContextWithSpanContext(context.Background(), c.context.context())
}

func (c *connection) log(level slog.Level, message string, attrs ...slog.Attr) {
	logger, ctx := c.t.logger(), c.logContext()
	if !logger.Enabled(ctx, level) {
		return
	}
	logger.LogAttrs(ctx, level, message, append([]slog.Attr{slog.String("topic", c.conn.Topic), slog.String("connection", c.conn.ID)}, attrs...)...)
}

// open is called when the client has the headers.
func (c *connection) open(now time.Time) {
	c.establish.end(now, http.StatusOK, nil)
	c.establish = nil
	if c.context.flags.IsSampled() {
		c.mu.Lock()
		c.opened, c.parent = now, c.context
		c.timer = time.AfterFunc(segmentAges[0], c.tick)
		c.mu.Unlock()
	}
	c.log(slog.LevelInfo, "stream opened", slog.String("client", c.conn.Client), slog.String("protocol", c.conn.Protocol),
		slog.String("format", string(c.conn.Format)), slog.Bool("resumed", c.conn.Resumed))
}

// flush is the path of every delivery.
func (c *connection) flush(f *stream.Flush) {
	latency := int64(c.topic.tallies[f.Shard%tallies].deliver(f))
	if latency > c.slowest.Load() {
		c.slowest.Store(latency)
	}
	if !c.live {
		c.catchUp(f)
	}
	if f.Tagged != nil {
		c.deliver(f)
	}
	if c.gapped && f.Events > 0 {
		c.gapped = false
	}
}

// catchUp follows the events of a client that has come back, until it has had
// all that it missed.
func (c *connection) catchUp(f *stream.Flush) {
	c.replay += int64(f.Replayed)
	if f.Replayed < f.Events {
		c.endReplay()
	}
}

func (c *connection) endReplay() {
	c.live = true
	c.t.metrics.replay.Record(c.logContext(), c.replay, c.topic.option)
}

// deliver gives those events of a batch that are sampled to their traces.
func (c *connection) deliver(f *stream.Flush) {
	reader := c.reader.Load()
	for _, e := range f.Tagged {
		et, ok := e.Event.Tag.(*eventTrace)
		if !ok {
			continue
		}
		latency, replay := f.Ended.Sub(e.At), !e.ID.After(f.Since)
		if reader != nil {
			d := delivery{conn: c, id: e.ID, at: e.At, began: f.Began, ended: f.Ended, batch: f.Events, replay: replay, gapped: c.gapped}
			reader.Deliver(refTo(et.sc), d.told(""))
		}
		if chance := et.chance(); chance || replay || c.gapped || et.slower(int64(latency)) || !et.begun.Load() {
			et.deliver(&delivery{conn: c, id: e.ID, at: e.At, began: f.Began, ended: f.Ended, batch: f.Events, replay: replay, gapped: c.gapped, chance: chance && !replay})
		}
	}
}

// gap is called when the client has been told that events are lost.
func (c *connection) gap(g *stream.Gap, _ time.Time) {
	c.gapped = true
	c.gaps.Add(1)
	c.missed.Add(int64(g.Missed))
	ctx, m := c.logContext(), c.t.metrics
	option := m.topicReason(c.conn.Topic, g.Reason)
	m.gaps.Add(ctx, 1, option)
	if g.Missed > 0 {
		m.dropped.Add(ctx, int64(g.Missed), option)
	}
	c.log(slog.LevelWarn, "events lost to a client", slog.String("reason", g.Reason),
		slog.String("from", g.From.String()), slog.String("to", g.To.String()), slog.Uint64("missed", g.Missed))
}

func (c *connection) heartbeat(time.Time) {
	c.topic.heartbeats.Add(1)
}

// disconnect is called once, last.
func (c *connection) disconnect(reason stream.CloseReason, err error) {
	now := time.Now()
	if reason == stream.ClosePanic && err == nil {
		err = errPanic
	}
	if c.establish != nil { // there was no first flush
		c.establish.unopened(now, reason, err)
		c.establish = nil
	}
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
		c.segment(now, reason, err)
	}
	segments := c.segments
	c.mu.Unlock()
	c.t.mu.Lock()
	delete(c.t.conns, c.conn.ID)
	c.t.mu.Unlock()
	c.topic.opened(c.conn.Protocol, -1)
	if !c.live {
		c.endReplay()
	}
	age := now.Sub(c.conn.Started)
	attributes := []attribute.KeyValue{keyTopic.String(c.conn.Topic), keyCloseReason.String(string(reason))}
	if kind := errorType(reason); kind != "" {
		attributes = append(attributes, keyErrorType.String(kind))
	}
	c.t.metrics.duration.Record(c.logContext(), age.Seconds(), metric.WithAttributes(attributes...))
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("reason", string(reason)), slog.Duration("age", age),
		slog.Int64("events", c.conn.Events()), slog.Int64("bytes", c.conn.Bytes()), slog.Int("segments", segments)}
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", err))
	}
	c.log(level, "stream closed", attrs...)
}

// unopened ends the span of a request that was admitted, but whose client got
// no stream: because it went, or because there is nothing left to send.
func (e *establishment) unopened(now time.Time, reason stream.CloseReason, err error) {
	e.set(keyCloseReason.String(string(reason)))
	if kind := errorType(reason); kind != "" {
		e.set(keyErrorType.String(kind))
	}
	switch {
	case reason == stream.ClosePanic:
		e.end(now, http.StatusInternalServerError, err)
	case reason == stream.CloseEnded:
		e.end(now, http.StatusNoContent, nil)
	default:
		e.end(now, http.StatusOK, err)
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
	c.segments++
	after := c.counts()
	attributes := []attribute.KeyValue{
		keyTopic.String(c.conn.Topic), keyStreamID.String(c.conn.ID), keySegment.Int(c.segments),
		keySegmentEvents.Int64(after.events - c.before.events), keySegmentBytes.Int64(after.bytes - c.before.bytes),
		keySegmentDropped.Int64(after.missed - c.before.missed), keySegmentGaps.Int64(after.gaps - c.before.gaps),
		keySegmentLatency.Float64(time.Duration(c.slowest.Swap(0)).Seconds()),
	}
	c.before = after
	if reason != "" {
		attributes = append(attributes, keyCloseReason.String(string(reason)))
		if kind := errorType(reason); kind != "" {
			attributes = append(attributes, keyErrorType.String(kind))
		}
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(c.opened.Add(c.began)), trace.WithAttributes(attributes...)}
	if c.previous.valid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: c.previous.context(), Attributes: []attribute.KeyValue{keyLink.String(linkPrevious)}}))
	}
	ctx := decided(context.Background())
	if c.parent.valid() {
		ctx = trace.ContextWithSpanContext(ctx, c.parent.context())
	}
	_, span := c.t.tracer.Start(ctx, "stream "+c.conn.Topic, options...)
	if err != nil {
		span.RecordError(err, trace.WithTimestamp(now))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(now))
	c.previous = refOf(span.SpanContext())
	if !c.parent.valid() {
		c.parent = c.previous
	}
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
	t.mu.Lock()
	c := t.conns[connection]
	t.mu.Unlock()
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.segments
}
