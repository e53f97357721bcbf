package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"weir/stream"
)

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
	// Which topics there are is not told to everybody. A source that fails is
	// its topic's fault, not the node's.
	away := 0
	for _, t := range s.opts.Hub.Health() {
		if t.Broker != nil && t.Broker.State != stream.SourceUp {
			away++
		}
	}
	if away > 0 {
		why = append(why, fmt.Sprintf("the broker is out of touch, for %d topics", away))
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
