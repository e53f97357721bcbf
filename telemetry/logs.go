package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"
)

// newLogHandler returns a handler that writes to w, and to the exporter if there is one.
func newLogHandler(w io.Writer, level slog.Leveler, exporter *sdklog.LoggerProvider) slog.Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	var local slog.Handler
	if isTerminal(w) {
		local = newTextHandler(w, level)
	} else {
		local = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	local = traced{local}
	if exporter == nil {
		return local
	}
	exported := leveled{registered{Handler: otelslog.NewHandler(scopeName, otelslog.WithLoggerProvider(exporter))}, level}
	return slog.NewMultiHandler(local, exported)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// leveled leaves out what is below a level.
type leveled struct {
	slog.Handler
	level slog.Leveler
}

func (h leveled) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level.Level() && h.Handler.Enabled(ctx, l)
}

func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.level}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}

// traced adds the IDs of the span in the context.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }
func (h traced) WithGroup(name string) slog.Handler       { return traced{h.Handler.WithGroup(name)} }

// A textHandler writes the time, the level and the message without their names,
// and the attributes as slog.TextHandler does.
type textHandler struct {
	out   *textOutput
	attrs slog.Handler // writes to out.line
}

type textOutput struct {
	mu   sync.Mutex
	w    io.Writer
	line bytes.Buffer
}

func newTextHandler(w io.Writer, level slog.Leveler) slog.Handler {
	out := &textOutput{w: w}
	return &textHandler{out, slog.NewTextHandler(&out.line, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

func (h *textHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	line := &h.out.line
	line.Reset()
	line.WriteString(r.Time.Format("15:04:05.000 "))
	line.WriteString((r.Level.String() + "     ")[:6])
	line.WriteString(plain(r.Message))
	line.WriteString("  ")
	if err := h.attrs.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.out.w.Write(line.Bytes())
	return err
}

// plain makes a message safe for a terminal.
func plain(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, []byte(s)))
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &textHandler{h.out, h.attrs.WithAttrs(attrs)}
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	return &textHandler{h.out, h.attrs.WithGroup(name)}
}

// errorInterval is how often a failure of the export is logged.
const errorInterval = time.Minute

// A limitedLog logs what may come any number of times, one record a minute at most,
// such as the errors of the SDK: a collector that is away makes one for every batch.
type limitedLog struct {
	logger func() *slog.Logger

	mu        sync.Mutex
	last      time.Time
	notLogged int // records since then
}

// Handle implements otel.ErrorHandler.
func (l *limitedLog) Handle(err error) {
	l.warn("telemetry cannot be exported; the streams are not affected", slog.Any("error", err))
}

func (l *limitedLog) warn(message string, attrs ...slog.Attr) {
	now := time.Now()
	l.mu.Lock()
	if !l.last.IsZero() && now.Sub(l.last) < errorInterval {
		l.notLogged++
		l.mu.Unlock()
		return
	}
	notLogged := l.notLogged
	l.last, l.notLogged = now, 0
	l.mu.Unlock()
	l.logger().LogAttrs(context.Background(), slog.LevelWarn, message, append(attrs, slog.Int("not_logged", notLogged))...)
}
