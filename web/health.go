package web

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"time"

	"weir/stream"
)

// connectionDetails is one open stream in /sse-health.
type connectionDetails struct {
	UptimeSeconds      float64 `json:"uptime_seconds"`
	LastPingSecondsAgo float64 `json:"last_ping_seconds_ago"`
	ErrorCount         int64   `json:"error_count"`
	Topic              string  `json:"topic"`
	EventsSent         int64   `json:"events_sent"`
	BytesSent          int64   `json:"bytes_sent"`
	LagEvents          uint64  `json:"lag_events"`
	Segments           int     `json:"segments"`
}

type topicHealth struct {
	Source         string `json:"source,omitempty"`
	SourceFailures int    `json:"source_failures,omitempty"`
	Broker         string `json:"broker,omitempty"`
	Entries        int    `json:"entries"`
	Bytes          int64  `json:"bytes"`
	LastID         string `json:"last_id"`
}

type health struct {
	Status            string                       `json:"status"`
	Node              string                       `json:"node"`
	ActiveConnections int                          `json:"active_connections"`
	ConnectionDetails map[string]connectionDetails `json:"connection_details"`
	Topics            map[string]topicHealth       `json:"topics"`
	Cluster           any                          `json:"cluster,omitempty"`
}

func (s *Server) details(c *stream.Conn, now time.Time) connectionDetails {
	d := connectionDetails{
		UptimeSeconds:      now.Sub(c.Started).Seconds(),
		LastPingSecondsAgo: max(0, now.Sub(c.LastWrite()).Seconds()),
		ErrorCount:         c.Errors(),
		Topic:              c.Topic,
		EventsSent:         c.Events(),
		BytesSent:          c.Bytes(),
		LagEvents:          c.Lag(),
	}
	if s.opts.Observe.Segments != nil {
		d.Segments = s.opts.Observe.Segments(c.ID)
	}
	return d
}

// health is GET /sse-health. Connection IDs cannot be guessed, so whoever
// names one may see it; the list of all is for the admin listener where there
// is one.
func (s *Server) health(all bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		h := health{
			Status: "ok", Node: s.opts.Stream.Node, ActiveConnections: s.opts.Stream.Active(),
			ConnectionDetails: map[string]connectionDetails{}, Topics: map[string]topicHealth{},
		}
		if s.unready(r.Context()) != nil {
			h.Status = "degraded"
		}
		if s.opts.Stream.Draining() {
			h.Status = "draining"
		}
		if id := r.URL.Query().Get("connection"); id != "" {
			// One that has just gone is no error: it is not among the open ones.
			if c := s.opts.Stream.Conn(id); c != nil {
				h.ConnectionDetails[id] = s.details(c, now)
			}
		} else if all {
			for _, c := range s.opts.Stream.Conns() {
				h.ConnectionDetails[c.ID] = s.details(c, now)
			}
		}
		for name, t := range s.opts.Hub.Health() {
			th := topicHealth{
				Source: string(t.Source.State), SourceFailures: t.Source.Total,
				Entries: t.Log.Entries, Bytes: t.Log.Bytes, LastID: t.Log.Last.String(),
			}
			if t.Broker != nil {
				th.Broker = string(t.Broker.State)
			}
			h.Topics[name] = th
		}
		if s.opts.Observe.Cluster != nil {
			ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
			defer cancel()
			nodes, err := s.opts.Observe.Cluster(ctx)
			if err != nil {
				nodes = map[string]string{"error": "the nodes cannot be asked: the broker does not answer"}
			}
			h.Cluster = nodes
		}
		writeJSON(w, http.StatusOK, h)
	})
}

// metrics is GET /sse-metrics: the guide's four figures, and what else is
// cheap to tell.
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
		switch reason {
		case stream.CloseSlow, stream.CloseError, stream.ClosePanic:
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

// unready says why an event could not go round, or returns nil.
func (s *Server) unready(ctx context.Context) []string {
	var why []string
	if s.opts.Stream.Draining() {
		why = append(why, "the server is shutting down")
	}
	if s.opts.Observe.Ready != nil {
		// A disk that hangs is no reason for the answer to hang.
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if err := s.opts.Observe.Ready(ctx); err != nil {
			s.opts.Logger.DebugContext(ctx, "not ready", "error", err)
			why = append(why, "events cannot be kept at present")
		}
	}
	all := s.opts.Hub.Health()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t := all[name]
		if t.Broker != nil && t.Broker.State != stream.SourceUp {
			why = append(why, fmt.Sprintf("topic %s: the broker is %s", name, t.Broker.State))
		}
		if t.Source.State == stream.SourceDown {
			why = append(why, fmt.Sprintf("topic %s: the source is down", name))
		}
	}
	return why
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	why := s.unready(r.Context())
	status, answer := http.StatusOK, map[string]any{"status": "ready"}
	if why != nil {
		status, answer = http.StatusServiceUnavailable, map[string]any{"status": "not ready", "reasons": why}
		w.Header().Set("Retry-After", "2")
	}
	writeJSON(w, status, answer)
}

func livez(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "alive"})
}
