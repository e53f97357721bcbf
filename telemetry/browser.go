package telemetry

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of the reports of browsers.
const (
	maxReportBytes = 64 << 10
	maxReports     = 100
	reportRate     = 100              // requests a second, unless Options.ReportRate says otherwise
	reportTimeout  = 10 * time.Second // for the body
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
	Now float64 `json:"now"`
	// Connection is the page's own. Proof is the traceparent that the connected
	// event of that connection told: nobody else knows it.
	Connection string   `json:"connection"`
	Proof      string   `json:"proof"`
	Reports    []report `json:"reports"`
}

type report struct {
	Topic       string  `json:"topic"`
	ID          string  `json:"id"`
	Traceparent string  `json:"traceparent"`
	Received    float64 `json:"received"`
	Shown       float64 `json:"shown"`
	// Busy is for how many milliseconds before Received the page's main thread was
	// at something else, so that the event had to wait.
	Busy float64 `json:"busy"`
}

// BrowserHandler serves POST /telemetry/browser: when events arrived in a
// browser and were on screen. It believes only pages of the same origin, that
// prove which connection they have, of events on that connection's topic, at times
// that can be, and not too often. Each report makes a span "process TOPIC" of
// service weir-browser. Reports that are not believed change nothing and are
// counted.
func (t *Telemetry) BrowserHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		b, refused := t.readBeacon(w, r, now)
		if refused != nil {
			t.refuseReports(1, refused.reason)
			switch refused.status {
			case http.StatusMethodNotAllowed:
				w.Header().Set("Allow", http.MethodPost)
			case http.StatusTooManyRequests:
				w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(refused.wait, time.Second).Seconds()))))
			}
			http.Error(w, "The report is refused: "+refused.reason+".", refused.status)
			return
		}
		if !t.disabled {
			t.takeReports(b, now)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (t *Telemetry) refuseReports(n int64, reason string) { add(t.metrics.reports, reason, n) }

// A badBeacon says why a beacon is refused as a whole.
type badBeacon struct {
	status int
	reason string
	wait   time.Duration
}

// readBeacon checks all that does not need the events.
func (t *Telemetry) readBeacon(w http.ResponseWriter, r *http.Request, now time.Time) (b beacon, refused *badBeacon) {
	if r.Method != http.MethodPost {
		return b, &badBeacon{status: http.StatusMethodNotAllowed, reason: reportMethod}
	}
	if !sameOrigin(r) {
		return b, &badBeacon{status: http.StatusForbidden, reason: reportOrigin}
	}
	if wait := t.opts.ReportRate(r); wait > 0 {
		return b, &badBeacon{http.StatusTooManyRequests, reportRateLimit, wait}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return b, &badBeacon{status: http.StatusUnsupportedMediaType, reason: reportMedia}
	}
	if r.ContentLength > maxReportBytes {
		return b, &badBeacon{status: http.StatusRequestEntityTooLarge, reason: reportSize}
	}
	_ = http.NewResponseController(w).SetReadDeadline(now.Add(reportTimeout)) // not every test's writer can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReportBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return b, &badBeacon{status: http.StatusRequestEntityTooLarge, reason: reportSize}
	}
	if err != nil || json.Unmarshal(body, &b) != nil {
		return b, &badBeacon{status: http.StatusBadRequest, reason: reportMalformed}
	}
	if len(b.Reports) > maxReports {
		return b, &badBeacon{status: http.StatusBadRequest, reason: reportSize}
	}
	return b, nil
}

// sameOrigin reports whether a page of this server sent the request. A browser
// that knows Sec-Fetch-Site says so itself, and what it says holds behind a proxy
// that changes the host, too. Package web/rights has the same rule for cookies.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}

// epoch reads milliseconds since 1970; it refuses what no clock shows.
func epoch(ms float64) (time.Time, bool) {
	if !(ms > 0 && ms < 1e14) { // the year 5138
		return time.Time{}, false
	}
	whole, part := math.Modf(ms)
	return time.UnixMilli(int64(whole)).Add(time.Duration(part * float64(time.Millisecond))), true
}
