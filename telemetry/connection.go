package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// lastWords is how long after the end of a stream its page may still report.
const lastWords = 30 * time.Second

// A connection observes one stream. The stream's owner calls its hooks; the timer
// of the segments runs in a goroutine of its own. There may be tens of thousands of
// connections, so each holds as little as it can, and no span: a segment's span is
// made when the segment ends.
type connection struct {
	// What every delivery needs comes first, in one cache line.
	topic     *topicMetrics
	slowest   atomic.Int64 // latency within the segment, in nanoseconds
	live      bool         // the replay is over; like gapped, used by the stream's owner alone
	gapped    bool         // the next event is the first after a gap
	reporting atomic.Bool  // the page on the other end tells when events were shown
	reader    atomic.Pointer[journey.Reader]

	t        *Telemetry
	conn     *stream.Conn
	exchange *exchange // nil once the client has the headers
	context  spanRef   // of the request's span
	missed   atomic.Int64
	gaps     atomic.Int64
	replay   int64 // events, until the replay is over

	session string

	segments
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

// connect begins the observation of a connection that has been admitted.
func (t *Telemetry) connect(r *http.Request, conn *stream.Conn) stream.ConnHooks {
	c := &connection{t: t, conn: conn, topic: t.metrics.topic(conn.Label)}
	c.live = conn.ResumedFrom.IsZero()
	c.exchange = exchangeOf(r.Context())
	if c.exchange == nil { // no middleware
		c.exchange = &exchange{requests: t.requests, r: r, route: streamRoute, began: conn.Started}
	}
	c.exchange.stream = true
	c.session = t.sessions.begin(c, r)
	c.exchange.start(true)
	c.context = refOf(c.exchange.span.SpanContext())
	c.exchange.set(keyTopic.String(conn.Topic), keyConnection.String(conn.ID), keyStreamFormat.String(string(conn.Format)), keySession.String(c.session))
	if !conn.ResumedFrom.IsZero() {
		c.exchange.set(keyResumedFrom.String(conn.ResumedFrom.String()))
	}
	if r.Header.Get("Sec-Fetch-Site") == "same-origin" { // a page of this server, which may ask for its own journeys
		c.reader.Store(t.rec.journeys.Reader(conn.ID))
	}
	c.topic.opened(conn.Protocol, +1)
	t.readers.add(conn.Topic, +1)
	t.conns.Store(conn.ID, c)
	return stream.ConnHooks{
		Traceparent: traceparent(c.context.context()),
		Session:     c.session,
		Open:        c.open,
		Flush:       c.flush,
		Gap:         c.gap,
		Heartbeat:   c.heartbeat,
		Disconnect:  c.disconnect,
	}
}

// streamRoute is the http.route of a stream that came without the middleware.
const streamRoute = "/sse-stream"

// logContext carries the IDs of the request's span.
func (c *connection) logContext() context.Context {
	return trace.ContextWithSpanContext(context.Background(), c.context.context())
}

// identity are the attributes by which every span of the stream can be found.
func (c *connection) identity() []attribute.KeyValue {
	list := []attribute.KeyValue{
		keyTopic.String(c.conn.Topic), keyConnection.String(c.conn.ID), keySession.String(c.session), semconv.ClientAddress(c.address()),
	}
	if c.conn.UserAgent != "" {
		list = append(list, semconv.UserAgentOriginal(c.conn.UserAgent))
	}
	if c.conn.Identity != "" {
		list = append(list, keyIdentity.String(c.conn.Identity))
	}
	return list
}

// address is the client's, without the port.
func (c *connection) address() string {
	host, _ := hostPort(c.conn.Client)
	return host
}

// open is called when the client has the headers.
func (c *connection) open(now time.Time) {
	c.exchange.end(now, http.StatusOK, nil)
	c.exchange = nil
	if c.context.flags.IsSampled() {
		c.begin(now)
	}
	c.log(slog.LevelInfo, "stream opened", "", slog.String("protocol", c.conn.Protocol), slog.String("format", string(c.conn.Format)), slog.Bool("resumed", c.conn.Resumed))
}

// flush is the path of every delivery.
func (c *connection) flush(f *stream.Flush) {
	latency := c.topic.tally(f.Shard).deliver(f)
	if int64(latency) > c.slowest.Load() {
		c.slowest.Store(int64(latency))
	}
	if !c.live {
		c.catchUp(f)
	}
	if f.Tagged != nil {
		c.deliver(f)
	}
	if latency >= lateAfter {
		c.late(f)
	}
	if c.gapped && f.Events > 0 {
		c.gapped = false
	}
}

// catchUp follows the events of a client that has come back, until it has had
// all that it missed: it has nothing more to read, or has read what is new.
func (c *connection) catchUp(f *stream.Flush) {
	c.replay += int64(f.Replayed)
	if f.Replayed < f.Events || f.Lag == 0 {
		c.endReplay()
	}
}

func (c *connection) endReplay() {
	c.live = true
	c.topic.replay.Record(c.logContext(), float64(c.replay))
}

// deliver gives those events of a batch that are sampled to their traces.
func (c *connection) deliver(f *stream.Flush) {
	reader := c.reader.Load()
	for _, e := range f.Tagged {
		et, ok := e.Event.Tag.(*eventTrace)
		if !ok {
			continue
		}
		open := !et.closed.Load()
		if !open && reader == nil {
			continue
		}
		latency, replay := int64(f.Ended.Sub(e.At)), !e.ID.After(f.Since)
		chance := open && et.chance()
		if reader == nil && !et.wants(latency, c.gapped, chance) {
			continue
		}
		d := delivery{conn: c, id: e.ID, at: e.At, began: f.Began, ended: f.Ended, batch: f.Events, replay: replay, gapped: c.gapped, chance: chance && !replay}
		if reader != nil {
			reader.Deliver(et.ref, d.told(""))
			if open && !replay && c.reporting.Load() {
				et.awaited.Add(1)
			}
		}
		if open && et.wants(latency, c.gapped, chance) {
			et.deliver(&d)
		}
	}
}

// gap is called when the client has been told that events are lost.
func (c *connection) gap(g *eventlog.Gap, now time.Time) {
	c.gapped = true
	c.gaps.Add(1)
	c.missed.Add(int64(g.Missed))
	c.topic.lost(g.Reason, int64(g.Missed))
	c.noteGap(g, now)
	attrs := []slog.Attr{slog.String("from", g.From.String()), slog.String("to", g.To.String())}
	if g.Missed > 0 { // else nobody knows
		attrs = append(attrs, slog.Uint64("missed", g.Missed))
	}
	c.log(slog.LevelWarn, "events lost to a client", g.Reason, attrs...)
}

func (c *connection) heartbeat(time.Time) {
	c.topic.heartbeats.Add(1)
}

// log writes about a connection. The reason, if any, is one of a bounded set.
func (c *connection) log(level slog.Level, message, reason string, attrs ...slog.Attr) {
	c.t.log.write(c.logContext(), level, message, reason, append([]slog.Attr{
		slog.String("topic", c.conn.Label), slog.String("connection", c.conn.ID),
		slog.String("session", c.session), slog.String("client", c.address()),
	}, attrs...)...)
}

var errPanic = errors.New("panic")

// disconnect is called once, last.
func (c *connection) disconnect(reason stream.CloseReason, err error) {
	now := time.Now()
	if reason == stream.ClosePanic && err == nil {
		err = errPanic
	}
	if c.exchange != nil { // there was no first flush
		c.exchange.unopened(now, reason, err)
		c.exchange = nil
	}
	segments := c.finish(now, reason, err)
	if c.reader.Load() == nil {
		c.t.conns.Delete(c.conn.ID)
	} else { // its page may still have something to tell
		time.AfterFunc(lastWords, func() { c.t.conns.Delete(c.conn.ID) })
	}
	c.t.sessions.end(c, now)
	c.topic.opened(c.conn.Protocol, -1)
	c.t.readers.add(c.conn.Topic, -1)
	if !c.live {
		c.endReplay()
	}
	age := now.Sub(c.conn.Started)
	c.topic.closed(c.logContext(), reason, age)
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("age", readable(age)),
		slog.Int64("events", c.conn.Events()), slog.Int64("bytes", c.conn.Bytes()), slog.Int("segments", segments)}
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", err))
	}
	c.log(level, "stream closed", string(reason), attrs...)
}

// conns are the connections that are observed, by ID: what the handler's registry
// does not know of them.
type conns struct{ sync.Map }

func (m *conns) get(id string) *connection {
	c, _ := m.Load(id)
	found, _ := c.(*connection)
	return found
}
