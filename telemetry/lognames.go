package telemetry

import (
	"context"
	"log/slog"
	"strings"
)

// logNames are the attributes of the registry that log records carry under shorter
// names: what a person reads in a terminal is short, and what a collector gets has the
// names of the spans.
var logNames = map[string]string{
	"topic":      "sse.topic",
	"connection": "sse.connection.id",
	"session":    "session.id",
	"client":     "client.address",
	"format":     "sse.stream.format",
	"protocol":   "network.protocol.version",
	"status":     "http.response.status_code",
	"from":       "sse.gap.from",
	"to":         "sse.gap.to",
	"missed":     "sse.gap.missed",
}

// reasonNames are what the attribute reason is, by how the message begins.
var reasonNames = []struct{ message, name string }{
	{"stream closed", "sse.close.reason"},
	{"events lost to a client", "sse.gap.reason"},
	{"stream refused", "sse.reject.reason"},
	{"request turned away", "sse.reject.reason"},
	{"socket turned away", "sse.reject.reason"},
}

// registered gives the attributes of records the names of the registry. Attributes in
// groups are somebody else's.
type registered struct {
	slog.Handler
	grouped bool
}

func (h registered) Handle(ctx context.Context, r slog.Record) error {
	if h.grouped {
		return h.Handler.Handle(ctx, r)
	}
	renamed := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		renamed.AddAttrs(registeredAs(a, r.Message))
		return true
	})
	return h.Handler.Handle(ctx, renamed)
}

func registeredAs(a slog.Attr, message string) slog.Attr {
	if name, is := logNames[a.Key]; is {
		a.Key = name
	}
	if a.Key == "reason" {
		for _, r := range reasonNames {
			if strings.HasPrefix(message, r.message) {
				a.Key = r.name
			}
		}
	}
	return a
}

func (h registered) WithAttrs(attrs []slog.Attr) slog.Handler {
	if !h.grouped {
		renamed := make([]slog.Attr, len(attrs))
		for i, a := range attrs {
			renamed[i] = registeredAs(a, "")
		}
		attrs = renamed
	}
	return registered{h.Handler.WithAttrs(attrs), h.grouped}
}

func (h registered) WithGroup(name string) slog.Handler {
	return registered{h.Handler.WithGroup(name), h.grouped || name != ""}
}
