package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"weir/telemetry/journey"
)

// Limits of the reports of browsers.
const (
	maxReportBytes = 64 << 10
	maxReports     = 100
	reportRate     = 5  // requests a second and client
	reportBurst    = 20 // of these, at once
	maxReporters   = 4096
	reportTimeout  = 10 * time.Second // for the body
)

// Reasons of sse.client.reports.rejected.
const (
	reportMethod    = "method"
	reportOrigin    = "origin"
	reportMedia     = "content_type"
	reportSize      = "size"
	reportMalformed = "malformed"
	reportRateLimit = "rate"
	reportUnknown   = "unknown_trace"
	reportTime      = "time"
	reportDuplicate = "too_many"
)

// maxTravel is how long a report may have been on its way. A difference of the
// clocks that this explains is no skew.
const maxTravel = 250 * time.Millisecond

// Times that a report may tell of.
const (
	maxReportAge  = 15 * time.Minute
	maxClockSkew  = 48 * time.Hour // between the browser and the server
	timeTolerance = 100 * time.Millisecond
)

// A beacon is what a page sends. Times are milliseconds since 1970 by the
// browser's clock.
type beacon struct {
	Now        float64  `json:"now"`
	Connection string   `json:"connection"` // optional: the page's own
	Reports    []report `json:"reports"`
}

type report struct {
	Topic       string  `json:"topic"`
	ID          string  `json:"id"`
	Traceparent string  `json:"traceparent"`
	Received    float64 `json:"received"`
	Shown       float64 `json:"shown"`
}

// BrowserHandler serves POST /telemetry/browser: when events arrived in a
// browser and were on screen. It believes only pages of the same origin, that
// tell of events this server knows, at times that can be, and not too often.
// Each report makes a span "process TOPIC" of service weir-browser. Reports that
// are not believed change nothing and are counted.
func (t *Telemetry) BrowserHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		b, status, reason := t.readBeacon(w, r, now)
		if reason != "" {
			t.refuseReports(r.Context(), 1, reason)
			switch status {
			case http.StatusMethodNotAllowed:
				w.Header().Set("Allow", http.MethodPost)
			case http.StatusTooManyRequests:
				w.Header().Set("Retry-After", "5")
			}
			http.Error(w, "The report is refused: "+reason+".", status)
			return
		}
		if !t.disabled {
			t.take(r.Context(), b, now)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (t *Telemetry) refuseReports(ctx context.Context, n int64, reason string) {
	t.metrics.refusedReports.Add(ctx, n, withSet(keyReason.String(reason)))
}

// readBeacon checks all that does not need the events.
func (t *Telemetry) readBeacon(w http.ResponseWriter, r *http.Request, now time.Time) (b beacon, status int, reason string) {
	if r.Method != http.MethodPost {
		return b, http.StatusMethodNotAllowed, reportMethod
	}
	if !sameOrigin(r) {
		return b, http.StatusForbidden, reportOrigin
	}
	if !t.reports.take(t.opts.Client(r), now) {
		return b, http.StatusTooManyRequests, reportRateLimit
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return b, http.StatusUnsupportedMediaType, reportMedia
	}
	if r.ContentLength > maxReportBytes {
		return b, http.StatusRequestEntityTooLarge, reportSize
	}
	_ = http.NewResponseController(w).SetReadDeadline(now.Add(reportTimeout)) // not every test's writer can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReportBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return b, http.StatusRequestEntityTooLarge, reportSize
	}
	if err != nil || json.Unmarshal(body, &b) != nil {
		return b, http.StatusBadRequest, reportMalformed
	}
	if len(b.Reports) > maxReports {
		return b, http.StatusBadRequest, reportSize
	}
	return b, 0, ""
}

// sameOrigin reports whether a page of this server sent the request. A browser
// says so itself where it knows the header, which also holds behind a proxy
// that changes the host.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == r.Host
}

// take makes spans of the reports that can be true.
func (t *Telemetry) take(ctx context.Context, b beacon, now time.Time) {
	sent, ok := epoch(b.Now)
	skew := now.Sub(sent)
	if !ok || skew.Abs() > maxClockSkew {
		t.refuseReports(ctx, int64(len(b.Reports)), reportTime)
		return
	}
	travelled := skew >= 0 && skew <= maxTravel // the clocks may agree
	stream := t.streamOf(b.Connection)
	for _, r := range b.Reports {
		c := claim{stream: stream}
		var received, shown bool
		if c.received, received = epoch(r.Received); received {
			c.shown, shown = epoch(r.Shown)
		}
		if !received || !shown || c.shown.Before(c.received) || c.shown.After(sent.Add(timeTolerance)) {
			t.refuseReports(ctx, 1, reportTime)
			continue
		}
		if !travelled {
			c.received, c.shown = c.received.Add(skew), c.shown.Add(skew)
		} else {
			c.slack = skew
		}
		if reason := t.process(ctx, r, c, now); reason != "" {
			t.refuseReports(ctx, 1, reason)
		}
	}
}

// epoch reads milliseconds since 1970; it refuses what no clock shows.
func epoch(ms float64) (time.Time, bool) {
	if !(ms > 0 && ms < 1e14) { // the year 5138
		return time.Time{}, false
	}
	whole, part := math.Modf(ms)
	return time.UnixMilli(int64(whole)).Add(time.Duration(part * float64(time.Millisecond))), true
}

// streamOf returns the connection's ID if it is open: what a browser says is
// not believed otherwise.
func (t *Telemetry) streamOf(connection string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns[connection] == nil {
		return ""
	}
	return connection
}

// A claim is a report by the server's clock. The clocks may still differ by the
// slack, which is how long the report travelled at most.
type claim struct {
	received, shown time.Time
	slack           time.Duration
	stream          string
}

// process makes the span of one report, or says why not.
func (t *Telemetry) process(ctx context.Context, r report, c claim, now time.Time) (refused string) {
	sc := parseTraceparent(r.Traceparent)
	if !sc.IsSampled() {
		return reportUnknown
	}
	var created time.Time
	e, _, err := t.journeys.Report(refTo(sc), r.ID, journey.Report{Connection: c.stream}, func(published time.Time) (journey.Report, bool) {
		created = published
		fits := c.fits(published, now)
		return journey.Report{Connection: c.stream, Received: c.received, Shown: c.shown}, fits
	})
	switch {
	case errors.Is(err, journey.ErrUnknown):
		return reportUnknown
	case errors.Is(err, journey.ErrTime):
		return reportTime
	case err != nil:
		return reportDuplicate
	}
	attributes := []attribute.KeyValue{
		keyTopic.String(e.Topic), keyEventID.String(e.ID),
		keySystem.String(serviceName), keyOperation.String("process"), keyOperationType.String("process"), keyDestination.String(e.Topic),
	}
	if c.stream != "" {
		attributes = append(attributes, keyStreamID.String(c.stream))
	}
	spanCtx, span := t.browser.Start(trace.ContextWithRemoteSpanContext(context.WithoutCancel(ctx), sc), "process "+e.Topic,
		trace.WithTimestamp(c.received), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(c.shown))
	option := t.metrics.topic(e.Topic).option
	t.metrics.clientDelivery.Record(spanCtx, c.received.Sub(created).Seconds(), option)
	t.metrics.clientRender.Record(spanCtx, c.shown.Sub(c.received).Seconds(), option)
	return ""
}

// fits reports whether an event that was made at a time can have been received
// and shown as claimed.
func (c *claim) fits(created, now time.Time) bool {
	if early := created.Sub(c.received); early > 0 && early <= c.slack {
		c.received, c.shown = c.received.Add(early), c.shown.Add(early)
	}
	return !c.received.Before(created) && !c.shown.After(now.Add(timeTolerance)) && now.Sub(c.received) <= maxReportAge
}

// reporters bound the rate of reports by client. There are so many clients and
// no more: beyond that, the newcomers share a bucket.
type reporters struct {
	mu     sync.Mutex
	byName map[string]*reporter
	shared reporter
	swept  time.Time // when room was last made
}

type reporter struct {
	tokens float64
	filled time.Time
}

func newReporters() *reporters { return &reporters{byName: make(map[string]*reporter)} }

func (r *reporters) take(client string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.byName[client]
	if one == nil {
		if len(r.byName) >= maxReporters && now.Sub(r.swept) > time.Second {
			r.swept = now
			for name, idle := range r.byName {
				if now.Sub(idle.filled) > time.Second*reportBurst/reportRate { // full again
					delete(r.byName, name)
				}
			}
		}
		if len(r.byName) < maxReporters {
			one = &reporter{tokens: reportBurst, filled: now}
			r.byName[client] = one
		} else {
			one = &r.shared
		}
	}
	one.tokens = min(reportBurst, one.tokens+now.Sub(one.filled).Seconds()*reportRate)
	one.filled = now
	if one.tokens < 1 {
		return false
	}
	one.tokens--
	return true
}
