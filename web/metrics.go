package web

import (
	"net/http"
	"runtime"
	"time"
)

// metrics is GET /sse-metrics: active_connections, total_events_sent,
// average_connection_duration and error_rate, and what else is cheap to tell.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	totals := s.opts.Stream.Totals()
	conns := s.opts.Stream.Conns()
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
		"uptime_seconds":              now.Sub(s.started).Seconds(),
		"goroutines":                  runtime.NumGoroutine(),
	}
	writeJSON(w, http.StatusOK, answer)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
