package telemetry

import (
	"context"
	"log/slog"
	"time"
)

// A logbook writes what happens to connections, sources and brokers. Any goroutine
// may call its methods.
type logbook struct {
	logger  func() *slog.Logger // asked each time
	node    string
	storm   storm
	outages outages
}

func newLogbook(logger func() *slog.Logger, node string) *logbook {
	l := &logbook{logger: logger, node: node}
	l.outages.write = func(level slog.Level, message string, attrs ...slog.Attr) {
		l.write(context.Background(), level, message, "", attrs...)
	}
	return l
}

// close writes at once what of failures and storms was to be written later. When it
// returns, no timer writes any more.
func (l *logbook) close() {
	l.outages.close()
	l.storm.close()
}

// write writes a record about a stream, unless there are too many of its kind. The
// reason, if any, is one of a bounded set.
func (l *logbook) write(ctx context.Context, level slog.Level, message, reason string, attrs ...slog.Attr) {
	logger := l.logger()
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs = append([]slog.Attr{slog.String("node", l.node)}, attrs...)
	if reason != "" {
		attrs = append(attrs, slog.String("reason", reason))
	}
	more := func(n int) {
		sum := []slog.Attr{slog.String("node", l.node), slog.Int("more", n)}
		if reason != "" {
			sum = append(sum, slog.String("reason", reason))
		}
		logger.LogAttrs(context.Background(), level, message+", and more within a second", sum...)
	}
	if l.storm.pass(message+" "+reason, more) {
		logger.LogAttrs(ctx, level, message, attrs...)
	}
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
