package telemetry

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of the reports of browsers.
const (
	maxReportBytes = 64 << 10
	maxReports     = 100
	reportRate     = 100              // requests a second, unless Options.ReportRate says otherwise
	reportTimeout  = 10 * time.Second // for the body
	maxNodeName    = 64               // bytes of what a page says, in the log
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
	// Offset is for how many milliseconds the page takes the server's clock to be
	// ahead of its own: what it shows is told by that. Nil if it does not say.
	Offset *float64 `json:"offset"`
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
	// Shown is 0 where the event was not on screen when it came: in a hidden tab, say, or
	// one of a burst.
	Shown float64 `json:"shown"`
	// Busy is for how many milliseconds before Received the page's main thread was
	// at something else, so that the event had to wait.
	Busy float64 `json:"busy"`
}

// A badBeacon says why a beacon is refused as a whole.
type badBeacon struct {
	status int
	reason string
	wait   time.Duration
}

// readBeacon checks all that does not need the events. The rate says how long to wait
// if there are too many.
func readBeacon(w http.ResponseWriter, r *http.Request, rate func(*http.Request) time.Duration, now time.Time) (b beacon, refused *badBeacon) {
	if r.Method != http.MethodPost {
		return b, &badBeacon{status: http.StatusMethodNotAllowed, reason: reportMethod}
	}
	if !sameOrigin(r) {
		return b, &badBeacon{status: http.StatusForbidden, reason: reportOrigin}
	}
	if wait := rate(r); wait > 0 {
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

// correction is what makes the page's times the server's, for a beacon that was sent
// at a time by the page's clock. The times may still be wrong by the slack. It is the
// page's own correction, if that can be true: a row and its journey then agree,
// however long the report travelled. Where the page's clock was set back since it measured, the
// times are before the event's, and refused.
func (b *beacon) correction(sent, now time.Time) (by, slack time.Duration) {
	skew := now.Sub(sent)
	if b.Offset != nil && math.Abs(*b.Offset) <= float64(maxClockSkew.Milliseconds()) {
		offset := time.Duration(*b.Offset * float64(time.Millisecond))
		if travelled := skew - offset; travelled >= -timeTolerance && travelled <= maxReportAge {
			return min(offset, skew), min(max(travelled, 0), maxTravel)
		}
	}
	if skew >= 0 && skew <= maxTravel {
		return 0, skew // the clocks may agree
	}
	return skew, 0
}

// A claim is a report by the server's clock. The clocks may still differ by the
// slack, which is how long the report travelled at most.
type claim struct {
	received, shown time.Time
	slack, busy     time.Duration
	unseen          bool // not on screen when it came; shown is received
}

// fits reports whether an event that was made at a time can have been received
// and shown as claimed.
func (c *claim) fits(created, now time.Time) bool {
	if early := created.Sub(c.received); early > 0 && early <= c.slack {
		c.received, c.shown = c.received.Add(early), c.shown.Add(early)
	}
	return !c.received.Before(created) && now.Sub(c.received) <= maxReportAge // take has seen that nothing is in the future
}
