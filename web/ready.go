package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"weir/stream"
)

// readiness tells whether an event can go round: GET /readyz.
type readiness struct {
	hub     *stream.Hub
	streams *stream.Handler
	kept    func(ctx context.Context) error // Observe.Ready; may be nil
	logger  *slog.Logger
}

// missing says why an event could not go round, or returns nil.
func (a *readiness) missing(ctx context.Context) []string {
	var why []string
	if a.streams.Draining() {
		why = append(why, "the server is shutting down")
	}
	if a.kept != nil {
		// A disk that hangs is no reason for the answer to hang.
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if err := a.kept(ctx); err != nil {
			a.logger.DebugContext(ctx, "not ready", "error", err)
			why = append(why, "events cannot be kept at present")
		}
	}
	// Which topics there are is not told to everybody. A source that fails is
	// its topic's fault, not the node's.
	away := 0
	for _, t := range a.hub.Health() {
		if t.Broker != nil && t.Broker.State != stream.SourceUp {
			away++
		}
	}
	if away > 0 {
		why = append(why, fmt.Sprintf("the broker cannot be reached, or takes no events (topics: %d)", away))
	}
	return why
}

func (a *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	why := a.missing(r.Context())
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
