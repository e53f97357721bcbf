package telemetry

import (
	"cmp"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// Hooks returns what a hub is to call. With OTEL_SDK_DISABLED they
// only log, and pass trace contexts on.
func (t *Telemetry) Hooks() stream.Hooks {
	hooks := stream.Hooks{
		Topic:   func(_, label string) { t.metrics.topic(label) }, // begins its series
		Connect: t.connect, Reject: t.reject,
		Publish: t.intake.publish, Receive: t.intake.receive,
		Source: func(c stream.SourceChange) { t.log.source(c, cmp.Or(t.handler.label(c.Topic), other)) },
	}
	if t.disabled {
		hooks.Publish, hooks.Receive = passOn, nil
	}
	return hooks
}

// reject counts and logs a refusal. The middleware puts the reason on the span.
func (t *Telemetry) reject(r *http.Request, refusal *stream.Refusal) {
	tm := t.metrics.of(cmp.Or(r.PathValue("topic"), r.URL.Query().Get("topic")))
	add(tm.rejected, refusal.Reason, 1)
	if x := exchangeOf(r.Context()); x != nil {
		x.refusal = refusal
	}
	ctx := r.Context()
	if x := exchangeOf(ctx); x != nil {
		ctx = trace.ContextWithSpan(ctx, x.begin())
	}
	t.log.write(ctx, slog.LevelInfo, "stream refused", refusal.Reason,
		slog.String("topic", tm.name), slog.String("client", t.opts.Client(r)), slog.Int("status", refusal.Status))
}
