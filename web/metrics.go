package web

import (
	"net/http"
	"runtime"
	"time"

	"weir/stream"
	"weir/web/rights"
)

// A metricsHandler serves GET /sse-metrics: active_connections, total_events_sent,
// average_connection_duration and error_rate, and what else is cheap to tell.
type metricsHandler struct {
	streams *stream.Handler
	started time.Time
}

func (m *metricsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	totals := m.streams.Totals()
	conns := m.streams.Conns()
	events, bytes, duration, gaps := totals.Events, totals.Bytes, totals.Duration, totals.Gaps
	now := time.Now()
	for _, c := range conns {
		events += c.Events()
		bytes += c.Bytes()
		gaps += c.Errors()
		duration += now.Sub(c.Started)
	}
	var ended, failed int64
	closed := map[string]int64{}
	for reason, n := range totals.Closed {
		closed[string(reason)] = n
		ended += n
		if reason.Fault() {
			failed += n
		}
	}
	answer := map[string]any{
		"active_connections":          len(conns),
		"total_events_sent":           events,
		"average_connection_duration": ratio(duration.Seconds(), float64(ended)+float64(len(conns))),
		"error_rate":                  ratio(float64(failed), float64(ended)),
		"total_connections":           totals.Connections,
		"rejected_connections":        totals.Rejected,
		"closed_connections":          closed,
		"total_bytes_sent":            bytes,
		"gaps":                        gaps,
		"uptime_seconds":              now.Sub(m.started).Seconds(),
		"goroutines":                  runtime.NumGoroutine(),
	}
	writeJSON(w, http.StatusOK, answer)
}

// forAllTopics serves metrics, which tell of every topic, to who may read them all.
func forAllTopics(metrics http.Handler) func(http.ResponseWriter, *http.Request, *visitor) {
	return func(w http.ResponseWriter, r *http.Request, who *visitor) {
		if who.turnedAway(w, r) {
			return
		}
		if !who.MayAll(rights.Subscribe) {
			WriteProblem(w, r, problem(http.StatusForbidden, rights.ReasonTopicToken, "The metrics tell of every topic, and the token is not valid for all of them."))
			return
		}
		metrics.ServeHTTP(w, r)
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
