package telemetry

import (
	"context"
	"net/http"
	"slices"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"golang.org/x/time/rate"

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
	opts     Options
	disabled bool // by the environment

	providers *providers
	registry  *prometheus.Registry
	metrics   *metrics
	rec       *recorder
	requests  *requests
	intake    *intake
	lates     *rate.Limiter // traces of events that were late; nil: a sampler decides
	pending   pendingEvents
	conns     conns
	readers   readers
	sessions  sessions
	log       *logbook
	handler   observedHandler
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
	t := &Telemetry{
		opts: opts, disabled: config.disabled, registry: prometheus.NewRegistry(),
		log: &logbook{logger: opts.logger, node: opts.Node},
	}
	requestLimit := perSecond(requestTraces)
	topics := &topics{
		families: newFamilies(config.exponential), handler: &t.handler,
		types: opts.EventTypes, rejects: slices.Concat([]string{other}, stream.RejectReasons, opts.RejectReasons),
	}
	t.metrics = newMetrics(topics)
	if t.providers, err = startProviders(ctx, config, providerOptions{
		service: opts.ServiceName, version: opts.Version, node: opts.Node,
		processors: opts.SpanProcessors, readers: opts.Readers, registry: t.registry, requests: requestLimit,
		producer: func(delta, exponential bool) sdkmetric.Producer {
			return newProducer(topics, opts.Version, delta, exponential)
		},
	}); err != nil {
		return nil, err
	}
	if err := t.startInstruments(); err != nil {
		_ = t.Shutdown(ctx) // err says why already
		return nil, err
	}
	t.rec = &recorder{
		tracer: t.providers.tracer, browser: t.providers.browser,
		journeys: journey.NewStore(opts.Node, 0, 0), budget: newBudget(opts.EventTraces),
	}
	t.requests = &requests{tracer: t.providers.tracer, propagator: t.providers.propagator, client: opts.Client, duration: t.metrics.request}
	if config.limited {
		t.requests.limit = requestLimit
		t.lates = perSecond(min(lateTraces, max(0, opts.EventTraces)))
	}
	t.intake = &intake{node: opts.Node, limited: config.limited, rec: t.rec, pending: &t.pending, topics: topics, readers: &t.readers}
	return t, nil
}

// startInstruments makes the instruments: those of the stream, and of the process.
func (t *Telemetry) startInstruments() error {
	meter := t.providers.meters.Meter(scopeName, metric.WithInstrumentationVersion(t.opts.Version), metric.WithSchemaURL(schemaURL))
	if err := t.metrics.register(meter); err != nil || t.disabled {
		return err
	}
	return t.providers.observeProcess(t.registry)
}

// Journeys are the ways of the last events that were sampled, for the page.
func (t *Telemetry) Journeys() *journey.Store { return t.rec.journeys }

// Observe reads the lag of the handler's connections for the metrics, and the
// names of its topics.
func (t *Telemetry) Observe(h *stream.Handler) { t.handler.Store(h) }

// Shutdown exports what has not been exported yet and ends the export. It
// returns when that is done or ctx is. Calling it again changes nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.pending.closeAll()
	return t.providers.shutdown(ctx)
}

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

// PageTraceparent returns the trace context of a request that passed
// [Telemetry.Middleware], for the page that answers it; "" when it is not
// sampled.
func (t *Telemetry) PageTraceparent(r *http.Request) string {
	return exchangeOf(r.Context()).traceparent()
}

// Broker returns a broker that stores events as b does, and tells how long that
// took: a client span in the trace of each sampled event, and
// sse.server.broker.publish.duration. With nil it returns nil.
func (t *Telemetry) Broker(b stream.Broker, kind BrokerKind) stream.Broker {
	if b == nil || t.disabled {
		return b
	}
	return observeBroker(b, kind, t.metrics.topics)
}
