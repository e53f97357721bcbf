package telemetry

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"weir/stream"
	"weir/telemetry/journey"
)

const (
	// scopeName is the instrumentation scope of everything made here.
	scopeName = "weir/telemetry"
	// schemaURL says by which version of the registry the names are to be read.
	schemaURL = "https://weir.example/schemas/sse/1.0.0"
)

// Names of services, as traces show them.
const (
	serviceName        = "weir"
	browserServiceName = "weir-browser"
)

// Telemetry observes one server. Its methods may be called by any goroutine.
type Telemetry struct {
	disabled bool // by the environment

	// What others use.
	log       *logbook
	handler   *observedHandler
	topics    *topics // reads the handler
	registry  *prometheus.Registry
	providers *providers
	rec       *recorder
	pending   *pendingEvents

	// What is called by a server. No one of them knows of Telemetry, and none of
	// another but that streams begin with a request and pages find their stream.
	requests *requests
	intake   *intake
	streams  *streams
	pages    *pages
	away     map[string]*counter // by sse.reject.reason
}

// Setup starts what the OTEL_* variables ask for. It returns an [*EnvError] for
// a value that makes no sense. The error handler of package otel is set: there
// is one in a process.
func Setup(ctx context.Context, opts Options) (*Telemetry, error) {
	if err := checkEnv(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	otel.SetErrorHandler(&limitedLog{logger: opts.logger})
	otel.SetLogger(logr.Discard()) // it repeats what the error handler gets
	config, err := readConfig()
	if err != nil {
		return nil, err
	}
	handler := &observedHandler{}
	topics := &topics{
		families: newFamilies(config.exponential), handler: handler,
		types: opts.EventTypes, rejects: slices.Concat([]string{other}, stream.RejectReasons, opts.RejectReasons),
	}
	metrics := newMetrics(topics, opts.TurnedAwayReasons)
	registry := prometheus.NewRegistry()
	limits := newLimits(config, opts.EventTraces)
	providers, err := startProviders(ctx, config, providerOptions{
		service: opts.ServiceName, version: opts.Version, node: opts.Node, logger: opts.logger,
		processors: opts.SpanProcessors, metricReaders: opts.Readers, registry: registry, requests: limits.requests,
		producer: func(delta, exponential bool) sdkmetric.Producer {
			return newProducer(topics, opts.Version, delta, exponential)
		},
	})
	if err != nil {
		return nil, err
	}
	meter := providers.meters.Meter(scopeName, metric.WithInstrumentationVersion(opts.Version), metric.WithSchemaURL(schemaURL))
	err = metrics.register(meter)
	if err == nil && !config.disabled {
		err = providers.observeProcess(registry)
	}
	if err != nil {
		_ = providers.shutdown(ctx) // err says why already
		return nil, err
	}

	// From here on the parts are put together. Each knows those above it only.
	log := newLogbook(opts.logger, opts.Node)
	readers, pending := &readers{}, &pendingEvents{}
	rec := &recorder{tracer: providers.tracer, browser: providers.browser, journeys: journey.NewStore(opts.Node, 0, 0), budget: limits.events}
	requests := &requests{tracer: providers.tracer, propagator: providers.propagator, limit: limits.requests, client: opts.Client, duration: metrics.request}
	intake := &intake{node: opts.Node, limited: config.limited, rec: rec, pending: pending, topics: topics, readers: readers}
	late := &lateEvents{rec: rec, limit: limits.lates}
	streams := &streams{rec: rec, requests: requests, topics: topics, readers: readers, late: late, log: log, sessions: newSessions()}
	pages := &pages{rate: opts.ReportRate, find: streams.find, rec: rec, pending: pending, rejected: metrics.reports, node: opts.Node, astray: limitedLog{logger: opts.logger}, disabled: config.disabled}
	return &Telemetry{
		disabled: config.disabled, log: log, handler: handler, topics: topics, registry: registry, providers: providers, rec: rec, pending: pending,
		requests: requests, intake: intake, streams: streams, pages: pages, away: metrics.away,
	}, nil
}

// Hooks returns what a hub is to call. With OTEL_SDK_DISABLED they
// only log, and pass trace contexts on.
func (t *Telemetry) Hooks() stream.Hooks {
	hooks := stream.Hooks{
		Topic:   func(_, label string) { t.topics.topic(label) }, // begins its series
		Connect: t.streams.connect, Reject: t.streams.reject,
		Publish: t.intake.publish, Receive: t.intake.receive,
		Source: func(c stream.SourceChange) { t.log.outages.source(c, cmp.Or(t.handler.label(c.Topic), other)) },
	}
	if t.disabled {
		hooks.Publish, hooks.Receive = passOn, nil
	}
	return hooks
}

// Broker returns a broker that stores events as b does, and tells how long that
// took: a client span in the trace of each sampled event, and
// sse.server.broker.publish.duration. With nil it returns nil.
func (t *Telemetry) Broker(b stream.Broker, kind BrokerKind) stream.Broker {
	if b == nil || t.disabled {
		return b
	}
	return observeBroker(b, kind, t.topics)
}

// Observe reads the lag of the handler's connections for the metrics, and the
// names of its topics.
func (t *Telemetry) Observe(h *stream.Handler) { t.handler.Store(h) }

// Middleware makes the span of a request, and counts it into
// http.server.request.duration. The route is a pattern of http.ServeMux without
// method and host. Of a stream, the span and the duration end with the first
// flush, or with the refusal: the stream goes on in segments.
//
// The trace context of a client becomes a link. [Telemetry.Publisher] makes it the
// parent.
//
// A stream always gets a span, unless OTEL_TRACES_SAMPLER says otherwise. Other
// requests, and refusals, of which there may be any number, share a limit.
func (t *Telemetry) Middleware(route string, next http.Handler) http.Handler {
	if t.disabled {
		return next
	}
	return t.requests.middleware(route, next)
}

// Publisher returns the context of a request by somebody who has shown a right to
// publish: the request, and what it publishes, belong to the trace that its
// headers tell of, as OTEL_PROPAGATORS says, and its baggage is in the context.
func (t *Telemetry) Publisher(r *http.Request) context.Context {
	if t.disabled {
		return t.requests.passOn(r)
	}
	return t.requests.publisher(r)
}

// TurnedAway counts a socket, or a request, that was turned away where
// stream.Hooks.Reject is not called: at a limit, by a guard, at publishing.
func (t *Telemetry) TurnedAway(reason string) { add(t.away, reason, 1) }

// PageTraceparent returns the trace context of a request that passed
// [Telemetry.Middleware], for the page that answers it; "" when it is not
// sampled.
func (t *Telemetry) PageTraceparent(r *http.Request) string {
	return exchangeOf(r.Context()).traceparent()
}

// BrowserHandler serves POST /telemetry/browser: when events arrived in a
// browser and were on screen. It believes only pages of the same origin, that
// prove which connection they have, of events on that connection's topic, at times
// that can be, and not too often. Each report makes a span "process TOPIC" of
// service weir-browser. Reports that are not believed change nothing and are
// counted.
func (t *Telemetry) BrowserHandler() http.Handler { return t.pages }

// MetricsHandler serves the metrics to Prometheus, in its text format or, for
// who asks, in OpenMetrics with exemplars.
func (t *Telemetry) MetricsHandler() http.Handler { return scrapeHandler(t.registry, t.log.logger) }

// LogHandler returns a handler for slog that writes to w, for people where w is
// a terminal and as JSON otherwise, and over OTLP too where that is configured.
// What is below the level is left out; nil is slog.LevelInfo. A record that is
// logged with the context of a span carries its trace_id and span_id.
func (t *Telemetry) LogHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return newLogHandler(w, level, t.providers.logs)
}

// Journeys are the ways of the last events that were sampled, for the page.
func (t *Telemetry) Journeys() *journey.Store { return t.rec.journeys }

// StreamSegments returns how many segments of an open connection have been
// exported so far.
func (t *Telemetry) StreamSegments(connection string) int { return t.streams.segments(connection) }

// Ignored are the OTEL_* variables that are set and mean nothing here: those that
// are unknown, OTEL_LOG_LEVEL, OTEL_TRACES_SAMPLER_ARG beside a sampler that takes
// none, and, with OTEL_CONFIG_FILE, all others. Somebody should be told.
func (t *Telemetry) Ignored() (names []string) { return ignoredEnv() }

// Shutdown exports what has not been exported yet and ends the export. It
// returns when that is done or ctx is. Calling it again changes nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.pending.closeAll()
	t.log.close()
	return t.providers.shutdown(ctx)
}
