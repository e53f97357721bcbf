package telemetry

import (
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// refused logs a request for a stream that was refused.
func (t *Telemetry) refused(r *http.Request, topic string, refusal *stream.Refusal) {
	ctx := r.Context()
	if x := exchangeOf(ctx); x != nil {
		ctx = trace.ContextWithSpan(ctx, x.begin())
	}
	t.write(ctx, slog.LevelInfo, "stream refused", refusal.Reason, slog.String("node", t.opts.Node), slog.String("topic", topic),
		slog.String("client", t.opts.Client(r)), slog.Int("status", refusal.Status))
}

// readable writes a duration as people do: three digits, and a unit.
func readable(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
