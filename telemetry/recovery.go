package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A recovery tells when an export works again that had failed: the failures are told by
// the error handler, and their silence would not say that they are over.
type recovery struct {
	failed atomic.Bool
	log    limitedLog
}

func newRecovery(logger func() *slog.Logger) *recovery {
	return &recovery{log: limitedLog{logger: logger}}
}

// exported takes the outcome of an export.
func (r *recovery) exported(what string, err error) error {
	if err != nil {
		r.failed.Store(true)
	} else if r.failed.CompareAndSwap(true, false) {
		r.log.warn("telemetry is exported again", slog.String("signal", what))
	}
	return err
}

type recoveringSpans struct {
	sdktrace.SpanExporter
	*recovery
}

func (e recoveringSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return e.exported("traces", e.SpanExporter.ExportSpans(ctx, spans))
}

type recoveringLogs struct {
	sdklog.Exporter
	*recovery
}

func (e recoveringLogs) Export(ctx context.Context, records []sdklog.Record) error {
	return e.exported("logs", e.Exporter.Export(ctx, records))
}
