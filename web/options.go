package web

import (
	"context"
	"log/slog"
	"net/http"

	"weir/stream"
	"weir/web/limits"
	"weir/web/rights"
)

// DefaultMaxBody is the default of Limits.MaxBody.
const DefaultMaxBody = 1 << 20

// Options configure a [Server]. Hub and Stream are required; all else may be
// left out.
type Options struct {
	Hub *stream.Hub
	// Stream serves the streams. Its owner sets Subscribe and Refuse to
	// the server's: see [Server.Subscribe] and [Server.Refuse].
	Stream *stream.Handler

	Access  Access
	Limits  Limits
	Page    PageOptions
	Observe Observe

	// Admin says that metrics, connection details, traces and profiles are
	// served by AdminHandler alone.
	Admin bool
	// Logger takes faults of the server. Default: slog.Default().
	Logger *slog.Logger
}

// Access says who may read and publish, and from where.
type Access struct {
	// Rights say who may publish and subscribe. Default: nobody publishes,
	// everybody subscribes.
	Rights *rights.Rights
	// CORSOrigins may read the stream and publish from a page of their own.
	// "*" stands for every origin.
	CORSOrigins []string
	// Play lets everybody on this machine publish, without a right, and refuses
	// whatever does not come from this machine, or was made by another site's
	// page.
	Play bool
	// Hosts says under which names the server is addressed.
	Hosts Hosts
}

// Limits bound what clients may take of the server.
type Limits struct {
	limits.Limits
	// Proxies may say who the client is.
	Proxies limits.Proxies
	// MaxBody is the largest body that publish takes, in bytes. Default:
	// DefaultMaxBody.
	MaxBody int64
}

// PageOptions say what the page shows.
type PageOptions struct {
	// Templates render the page. Default: the embedded ones.
	Templates *Templates
	// Demands are the patterns of the topics that are made on demand: the page has
	// a field for their names, and who asks for a topic that is not there is told them.
	// It may be empty.
	Demands []string
	// Version is shown on the page.
	Version string
	// JaegerUI returns the address of Jaeger's start page, or "" while there
	// is none. It must be quick. Default: none.
	JaegerUI func() string
}

// Observe hands telemetry in. Each field is optional.
type Observe struct {
	// Instrument wraps a route.
	Instrument func(route string, next http.Handler) http.Handler
	// Publisher returns the context of a request by somebody who has shown a right
	// to publish: in the trace that the request tells of.
	Publisher func(r *http.Request) context.Context
	// Metrics serves GET /metrics, and Browser POST /telemetry/browser.
	Metrics, Browser http.Handler
	// TurnedAway is called for a socket, and for a request, that is turned away where
	// stream.Hooks.Reject is not: with one of TurnedAwayReasons.
	TurnedAway func(reason string)
	// Traces tells of the last events, for GET /traces.
	Traces Traces
	// Traceparent returns the trace context of the request for the page.
	Traceparent func(r *http.Request) string
	// Segments returns how many segments of a connection were exported.
	Segments func(connection string) int
	// Ready says why an event could not be kept, for /readyz. Default: nothing
	// is asked.
	Ready func(ctx context.Context) error
	// Cluster tells of every node's connections.
	Cluster func(ctx context.Context) (any, error)
}

// withDefaults fills in what is left out.
func (o Options) withDefaults() (Options, error) {
	if o.Limits.MaxBody <= 0 {
		o.Limits.MaxBody = DefaultMaxBody
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Page.Templates == nil {
		t, err := ParseTemplates(nil)
		if err != nil {
			return o, err
		}
		o.Page.Templates = t
	}
	if o.Page.JaegerUI == nil {
		o.Page.JaegerUI = func() string { return "" }
	}
	if o.Observe.Instrument == nil {
		o.Observe.Instrument = func(_ string, next http.Handler) http.Handler { return next }
	}
	return o, nil
}
