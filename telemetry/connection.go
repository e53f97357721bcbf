package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// A connection observes one stream. The stream's owner calls its hooks. There may be
// tens of thousands of connections, so each holds as little as it can.
type connection struct {
	// What every delivery needs comes first, in one cache line.
	live      bool        // the replay is over; like gapped, used by the stream's owner alone
	gapped    bool        // the next event is the first after a gap
	reporting atomic.Bool // the page on the other end tells when events were shown
	reader    atomic.Pointer[journey.Reader]
	trace     streamTrace

	exchange *exchange // nil once the client has the headers
	replay   int64     // events, until the replay is over
	late     *lateEvents
	log      *logbook
}

// clientHost is the client's address, without the port.
func clientHost(conn *stream.Conn) string {
	host, _ := hostPort(conn.Client)
	return host
}

// openedAfter returns when the connection was opened, if an event was in the log before,
// and the zero time otherwise.
func (c *connection) openedAfter(event string) time.Time {
	if id, err := stream.ParseID(event); err != nil || id.After(c.trace.conn.Since()) {
		return time.Time{}
	}
	return c.trace.conn.Started
}

// open is called when the client has the headers.
func (c *connection) open(now time.Time) {
	c.exchange.end(now, http.StatusOK, nil)
	c.exchange = nil
	c.trace.begin(now)
	conn := c.trace.conn
	c.write(c.trace.logContext(), slog.LevelInfo, "stream opened", "", slog.String("protocol", conn.Protocol), slog.String("format", string(conn.Format)), slog.Bool("resumed", conn.Resumed))
}

// flush is the path of every delivery.
func (c *connection) flush(f *stream.Flush) {
	latency := c.trace.topic.tally(f.Shard).deliver(f)
	if int64(latency) > c.trace.slowest.Load() {
		c.trace.slowest.Store(int64(latency))
	}
	if !c.live {
		c.catchUp(f)
	}
	if f.Tagged != nil {
		c.deliver(f)
	}
	if latency >= lateAfter {
		c.late.tell(&c.trace, f, c.gapped)
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
	c.trace.topic.replay.Record(c.trace.logContext(), float64(c.replay))
}

// deliver gives those events of a batch that are sampled to their traces.
func (c *connection) deliver(f *stream.Flush) {
	reader := c.reader.Load()
	for _, e := range f.Tagged {
		et, ok := e.Event.Tag.(*eventTrace)
		if !ok {
			continue
		}
		pending := !et.closed.Load()
		latency, replay := int64(f.Ended.Sub(e.At)), !e.ID.After(f.Since)
		later := !pending && !replay && latency >= int64(lateAfter) && et.slower(latency)
		if !pending && !later && reader == nil {
			continue
		}
		chance := pending && et.chance()
		if reader == nil && !later && !et.wants(latency, c.gapped, chance) {
			continue
		}
		d := delivery{to: &c.trace, id: e.ID, at: e.At, began: f.Began, ended: f.Ended, batch: f.Events, replay: replay, gapped: c.gapped, chance: chance && !replay}
		if reader != nil {
			reader.Deliver(et.ref, d.told(""))
			if pending && !replay && c.reporting.Load() {
				et.awaited.Add(1)
			}
		}
		if pending && et.wants(latency, c.gapped, chance) {
			et.deliver(&d)
		}
		if later {
			et.later(&d)
		}
	}
}

// gap is called when the client has been told that events are lost.
func (c *connection) gap(g *eventlog.Gap, now time.Time) {
	c.gapped = true
	c.trace.topic.lost(g.Reason, int64(g.Missed))
	ctx := c.trace.gap(g, now)
	attrs := []slog.Attr{slog.String("from", g.From.String()), slog.String("to", g.To.String())}
	if g.Missed > 0 { // else nobody knows
		attrs = append(attrs, slog.Uint64("missed", g.Missed))
	}
	c.write(ctx, slog.LevelWarn, "events lost to a client", g.Reason, attrs...)
}

func (c *connection) heartbeat(time.Time) {
	c.trace.topic.heartbeats.Add(1)
}

// write writes about a connection, with the IDs that the context carries. The reason, if any, is one of a bounded set.
func (c *connection) write(ctx context.Context, level slog.Level, message, reason string, attrs ...slog.Attr) {
	conn := c.trace.conn
	c.log.write(ctx, level, message, reason, append([]slog.Attr{
		slog.String("topic", conn.Label), slog.String("connection", conn.ID),
		slog.String("session", c.trace.session), slog.String("client", clientHost(conn)),
	}, attrs...)...)
}

// finish ends the spans of a stream that is over, and returns how many segments there
// were.
func (c *connection) finish(now time.Time, reason stream.CloseReason, err error) (segments int) {
	if c.exchange != nil { // there was no first flush
		c.exchange.unopened(now, reason, err)
		c.exchange = nil
	}
	return c.trace.finish(now, reason, err)
}

// closed counts and logs that a stream is over.
func (c *connection) closed(now time.Time, reason stream.CloseReason, err error, segments int) {
	if !c.live {
		c.endReplay()
	}
	conn := c.trace.conn
	age, ctx := now.Sub(conn.Started), c.trace.endContext()
	c.trace.topic.closed(ctx, reason, age)
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("age", readable(age)),
		slog.Int64("events", conn.Events()), slog.Int64("bytes", conn.Bytes()), slog.Int("segments", segments)}
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", err))
	}
	c.write(ctx, level, "stream closed", string(reason), attrs...)
}
