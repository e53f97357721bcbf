package telemetry

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// schemaURL says by which version of the registry the names are to be read.
const schemaURL = "https://weir.example/schemas/sse/1.0.0"

var errPanic = errors.New("panic")

// refused logs a request for a stream that was refused.
func (t *Telemetry) refused(r *http.Request, topic string, refusal *stream.Refusal) {
	ctx := r.Context()
	if x := exchangeOf(ctx); x != nil {
		ctx = trace.ContextWithSpan(ctx, x.begin())
	}
	t.write(ctx, slog.LevelInfo, "stream refused", refusal.Reason, slog.String("node", t.opts.Node), slog.String("topic", topic),
		slog.String("client", t.opts.Client(r)), slog.Int("status", refusal.Status))
}

// log writes about a connection. The reason, if any, is one of a bounded set.
func (c *connection) log(level slog.Level, message, reason string, attrs ...slog.Attr) {
	c.t.write(c.logContext(), level, message, reason, append([]slog.Attr{
		slog.String("node", c.t.opts.Node), slog.String("topic", c.conn.Label), slog.String("connection", c.conn.ID),
		slog.String("session", c.session), slog.String("client", c.address()),
	}, attrs...)...)
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
