package telemetry

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// Hooks returns what a hub is to call. With OTEL_SDK_DISABLED they
// only log, and pass trace contexts on.
func (t *Telemetry) Hooks() stream.Hooks {
	hooks := stream.Hooks{Topic: t.topic, Connect: t.connect, Reject: t.reject, Source: t.source}
	if hooks.Publish, hooks.Receive = t.publish, t.receive; t.disabled {
		hooks.Publish, hooks.Receive = t.passOn, nil
	}
	return hooks
}

// topic begins the series of a topic that has been made.
func (t *Telemetry) topic(_, label string) { t.metrics.topic(label) }

// passOn gives an event the trace context of its publisher: with OTEL_SDK_DISABLED
// there are no spans, but contexts go on.
func (t *Telemetry) passOn(ctx context.Context, _ string, e *stream.Event) func(stream.ID, error) {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && !contextOf(e).IsValid() {
		setContext(e, sc)
	}
	return nil
}

// reject counts and logs a refusal. The middleware puts the reason on the span.
func (t *Telemetry) reject(r *http.Request, refusal *stream.Refusal) {
	tm := t.metrics.of(cmp.Or(r.PathValue("topic"), r.URL.Query().Get("topic")))
	add(tm.rejected, refusal.Reason, 1)
	if x := exchangeOf(r.Context()); x != nil {
		x.refusal = refusal
	}
	t.refused(r, tm.name, refusal)
}

// source logs how a source or the broker does.
func (t *Telemetry) source(c stream.SourceChange) {
	what := "source"
	if c.Broker {
		what = "broker"
	}
	label := cmp.Or(t.handler.label(c.Topic), other)
	up := slog.LevelInfo
	if label != c.Topic { // made on demand: there may be very many
		up = slog.LevelDebug
	}
	log := func(level slog.Level, message string, attrs ...slog.Attr) {
		attrs = append([]slog.Attr{slog.String("topic", label)}, attrs...)
		t.logger().LogAttrs(context.Background(), level, message, attrs...)
	}
	switch c.State {
	case sourceStarting:
		log(slog.LevelDebug, what+" starting")
	case stream.SourceUp:
		log(up, what+" up")
	case stream.SourceFailing:
		log(slog.LevelWarn, what+" failed", slog.Int("failures", c.Failures), slog.Any("error", c.Err))
	case stream.SourceDown:
		log(slog.LevelError, what+" down", slog.Int("failures", c.Failures), slog.Any("error", c.Err))
	case stream.SourceEnded:
		log(slog.LevelInfo, what+" ended")
	}
}
