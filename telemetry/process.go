package telemetry

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/telemetry/journey"
)

// takeReports makes spans of the reports that can be true.
func (t *Telemetry) takeReports(b beacon, now time.Time) {
	c := t.proven(b)
	if c == nil {
		t.refuseReports(int64(len(b.Reports)), reportConnection)
		return
	}
	c.reporting.Store(true)
	if c.reader.Load() == nil {
		c.reader.Store(t.rec.journeys.Reader(c.conn.ID))
	}
	sent, ok := epoch(b.Now)
	skew := now.Sub(sent)
	if !ok || skew.Abs() > maxClockSkew {
		t.refuseReports(int64(len(b.Reports)), reportTime)
		return
	}
	travelled := skew >= 0 && skew <= maxTravel // the clocks may agree
	for _, r := range b.Reports {
		claim := claim{busy: time.Duration(min(max(r.Busy, 0), 1e6) * float64(time.Millisecond))}
		var received, shown bool
		if claim.received, received = epoch(r.Received); received {
			claim.shown, shown = epoch(r.Shown)
		}
		if !received || !shown || claim.shown.Before(claim.received) || claim.shown.After(sent.Add(timeTolerance)) {
			t.refuseReports(1, reportTime)
			continue
		}
		if !travelled {
			claim.received, claim.shown = claim.received.Add(skew), claim.shown.Add(skew)
		} else {
			claim.slack = skew
		}
		if reason := t.process(c, r, claim, now); reason != "" {
			t.refuseReports(1, reason)
		}
	}
}

// proven returns the connection that a beacon proves to be its page's own, or nil.
func (t *Telemetry) proven(b beacon) *connection {
	c := t.conns.get(b.Connection)
	if c == nil || subtle.ConstantTimeCompare([]byte(b.Proof), []byte(traceparent(c.context.context()))) != 1 {
		return nil
	}
	return c
}

// A claim is a report by the server's clock. The clocks may still differ by the
// slack, which is how long the report travelled at most.
type claim struct {
	received, shown time.Time
	slack, busy     time.Duration
}

// process makes the span of one report, or says why not.
func (t *Telemetry) process(c *connection, r report, claim claim, now time.Time) (refused string) {
	sc := parseContext(r.Traceparent, "")
	if !sc.IsSampled() || r.Topic != "" && r.Topic != c.conn.Topic {
		return reportUnknown
	}
	var created time.Time
	e, told, err := t.rec.journeys.Report(refTo(sc), r.ID, func(e journey.Event, published time.Time) (journey.Report, bool) {
		created = published
		fits := e.Topic == c.conn.Topic && claim.fits(published, now)
		return journey.Report{Connection: c.conn.ID, Received: claim.received, Shown: claim.shown, Busy: claim.busy}, fits
	})
	switch {
	case errors.Is(err, journey.ErrUnknown):
		return reportUnknown
	case errors.Is(err, journey.ErrTime):
		return reportTime
	case err != nil:
		return reportDuplicate
	}
	span := t.processSpan(c, sc, e, told)
	if d, ok := c.reader.Load().Find(refTo(sc)); ok && d.Replay {
		return "" // the time that a replayed event waited for its reader is no latency
	}
	ctx := trace.ContextWithSpanContext(context.Background(), span)
	c.topic.clientDelivery.Record(ctx, told.Received.Sub(created).Seconds())
	c.topic.clientRender.Record(ctx, told.Shown.Sub(told.Received).Seconds())
	return ""
}

// processSpan makes the span: a child of the event's, or, when that has ended
// already, the root of a trace that is linked to it.
func (t *Telemetry) processSpan(c *connection, created trace.SpanContext, e journey.Event, told journey.Report) trace.SpanContext {
	attributes := append(messaging("process", "process", e.Topic),
		keyTopic.String(e.Topic), keyEventID.String(e.ID), keyConnection.String(c.conn.ID), keySession.String(c.session))
	if told.Busy > 0 {
		attributes = append(attributes, keyBusy.Float64(told.Busy.Seconds()))
	}
	links := []trace.Link{link(c.traceContext(), linkStream)}
	et := t.pending.find(refTo(created))
	if et != nil {
		et.reports.Add(1)
	}
	if late := told.Shown.Sub(e.Published) >= lateAfter; told.Number > maxProcess && !late || told.Number > journey.MaxReports {
		if et != nil {
			et.until(told.Shown)
		}
		return created // there are many
	}
	if et != nil {
		if d, ok := c.reader.Load().Find(et.ref); ok {
			et.pickReported(c, d)
		}
		if sc := et.step(t.rec.browser, "process "+c.conn.Label, trace.SpanKindConsumer, told.Received, told.Shown, links, attributes...); sc.IsValid() {
			return sc
		}
	}
	t.rec.budget.spend(1)
	_, span := t.rec.browser.Start(decided(context.Background()), "process "+c.conn.Label, trace.WithNewRoot(), trace.WithTimestamp(told.Received),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(append(links, link(created, linkEvent))...), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(told.Shown))
	return span.SpanContext()
}

// fits reports whether an event that was made at a time can have been received
// and shown as claimed.
func (c *claim) fits(created, now time.Time) bool {
	if early := created.Sub(c.received); early > 0 && early <= c.slack {
		c.received, c.shown = c.received.Add(early), c.shown.Add(early)
	}
	return !c.received.Before(created) && now.Sub(c.received) <= maxReportAge // take has seen that nothing is in the future
}
