package telemetry

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/telemetry/journey"
)

// pages take what pages report: when events arrived in a browser and were on screen.
// Any goroutine may call its methods.
type pages struct {
	rate     func(*http.Request) time.Duration // counts a beacon; how long to wait if there are too many
	find     func(connection string) *connection
	rec      *recorder
	pending  *pendingEvents
	rejected map[string]*counter // reports, by sse.report.reason
	node     string
	astray   limitedLog // of reports for other nodes
	disabled bool       // no report is taken, though beacons are checked
}

// ServeHTTP implements http.Handler.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	b, refused := readBeacon(w, r, p.rate, now)
	if refused != nil {
		p.reject(1, refused.reason)
		switch refused.status {
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodPost)
		case http.StatusTooManyRequests:
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(refused.wait, time.Second).Seconds()))))
		}
		http.Error(w, "The report is refused: "+refused.reason+".", refused.status)
		return
	}
	if p.disabled {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if of := r.URL.Query().Get("node"); of != "" && of != p.node && p.find(b.Connection) == nil {
		p.reject(int64(len(b.Reports)), reportNode)
		p.astray.warn("a page's reports come to another node than its stream, so that its events are not seen on screen: have the proxy send requests with ?node= to that node (e2e/stack/nginx shows how)",
			slog.String("node", p.node), slog.String("stream_node", of[:min(len(of), maxNodeName)]))
		http.Error(w, "The report is refused: its stream is on another node.", http.StatusConflict) // the page gives up after a few
		return
	}
	p.take(b, now)
	w.WriteHeader(http.StatusNoContent)
}

func (p *pages) reject(n int64, reason string) { add(p.rejected, reason, n) }

// take makes spans of the reports that can be true.
func (p *pages) take(b beacon, now time.Time) {
	c := p.proven(b)
	if c == nil {
		p.reject(int64(len(b.Reports)), reportConnection)
		return
	}
	c.reporting.Store(true)
	if c.reader.Load() == nil {
		c.reader.Store(p.rec.journeys.Reader(c.trace.conn.ID))
	}
	sent, ok := epoch(b.Now)
	skew := now.Sub(sent)
	if !ok || skew.Abs() > maxClockSkew {
		p.reject(int64(len(b.Reports)), reportTime)
		return
	}
	by, slack := b.correction(sent, now)
	for _, r := range b.Reports {
		claim := claim{busy: time.Duration(min(max(r.Busy, 0), 1e6) * float64(time.Millisecond))}
		var received, shown bool
		if claim.received, received = epoch(r.Received); received {
			claim.shown, shown = epoch(r.Shown)
		}
		if received && r.Shown == 0 {
			claim.shown, shown, claim.unseen = claim.received, true, true
		}
		if !received || !shown || claim.shown.Before(claim.received) || claim.shown.After(sent.Add(timeTolerance)) {
			p.reject(1, reportTime)
			continue
		}
		claim.received, claim.shown, claim.slack = claim.received.Add(by), claim.shown.Add(by), slack
		if reason := p.process(c, r, claim, now); reason != "" {
			p.reject(1, reason)
		}
	}
}

// proven returns the connection that a beacon proves to be its page's own, or nil.
func (p *pages) proven(b beacon) *connection {
	c := p.find(b.Connection)
	if c == nil || subtle.ConstantTimeCompare([]byte(b.Proof), []byte(traceparent(c.trace.request.context()))) != 1 {
		return nil
	}
	return c
}

// process makes the span of one report, or says why not.
func (p *pages) process(c *connection, r report, claim claim, now time.Time) (refused string) {
	sc := parseContext(r.Traceparent, "")
	if !sc.IsSampled() || r.Topic != "" && r.Topic != c.trace.conn.Topic {
		return reportUnknown
	}
	var created time.Time
	e, told, err := p.rec.journeys.Report(refTo(sc), r.ID, func(e journey.Event, published time.Time) (journey.Report, bool) {
		created = published
		fits := e.Topic == c.trace.conn.Topic && claim.fits(published, now)
		return journey.Report{Connection: c.trace.conn.ID, Received: claim.received, Shown: claim.shown, Unseen: claim.unseen, Busy: claim.busy, Opened: c.openedAfter(e.ID)}, fits
	})
	switch {
	case errors.Is(err, journey.ErrUnknown):
		return reportUnknown
	case errors.Is(err, journey.ErrTime):
		return reportTime
	case err != nil:
		return reportDuplicate
	}
	span := p.processSpan(c, sc, e, told)
	if !told.Opened.IsZero() {
		return "" // the time that a replayed event waited for its reader is no latency
	}
	ctx := trace.ContextWithSpanContext(context.Background(), span)
	c.trace.topic.clientDelivery.Record(ctx, told.Received.Sub(created).Seconds())
	if told.Unseen {
		return ""
	}
	c.trace.topic.clientRender.Record(ctx, told.Shown.Sub(told.Received).Seconds())
	return ""
}

// processSpan makes the span: a child of the event's, or, when that has ended
// already, the root of a trace that is linked to it.
func (p *pages) processSpan(c *connection, created trace.SpanContext, e journey.Event, told journey.Report) trace.SpanContext {
	attributes := append(messaging("process", "process", e.Topic),
		keyTopic.String(e.Topic), keyEventID.String(e.ID), keyConnection.String(c.trace.conn.ID), keySession.String(c.trace.session))
	if told.Busy > 0 {
		attributes = append(attributes, keyBusy.Float64(told.Busy.Seconds()))
	}
	links := []trace.Link{link(c.trace.traceContext(), linkStream)}
	et := p.pending.find(refTo(created))
	live := told.Opened.IsZero()
	if et != nil && live {
		et.reports.Add(1)
	}
	if late := live && told.Shown.Sub(e.Published) >= lateAfter; told.Unseen || told.Number > maxProcess && !late || told.Number > journey.MaxReports {
		if et != nil {
			et.until(told.Shown)
		}
		return created // there are many, or there is nothing to show
	}
	if et != nil {
		if d, ok := c.reader.Load().Find(et.ref); ok {
			et.pickReported(&c.trace, d)
		}
		if sc := et.step(p.rec.browser, "process "+c.trace.conn.Label, trace.SpanKindConsumer, told.Received, told.Shown, links, attributes...); sc.IsValid() {
			return sc
		}
	}
	p.rec.budget.spend(1)
	_, span := p.rec.browser.Start(decided(context.Background()), "process "+c.trace.conn.Label, trace.WithNewRoot(), trace.WithTimestamp(told.Received),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(append(links, link(created, linkEvent))...), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(told.Shown))
	return span.SpanContext()
}
