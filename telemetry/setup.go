package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"sync"

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
	limited  bool // no sampler is configured: event traces are limited here

	providers    *providers
	registry     *prometheus.Registry
	metrics      *metrics
	rec          *recorder
	requests     *rate.Limiter // spans of requests other than streams
	lates        *rate.Limiter // traces of events that were late
	pending      pendingEvents
	conns        conns
	readers      readers
	sessions     sessions
	storm        storm
	handler      observedHandler
	measurements sync.Map // of measurement to []metric.RecordOption
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
		opts: opts, disabled: config.disabled, limited: config.limited,
		registry: prometheus.NewRegistry(),
		requests: perSecond(requestTraces),
		lates:    perSecond(min(lateTraces, max(0, opts.EventTraces))),
	}
	topics := &topics{
		families: newFamilies(config.exponential), handler: &t.handler,
		types: opts.EventTypes, rejects: slices.Concat([]string{other}, stream.RejectReasons, opts.RejectReasons),
	}
	t.metrics = newMetrics(topics)
	if t.providers, err = startProviders(ctx, config, providerOptions{
		service: opts.ServiceName, version: opts.Version, node: opts.Node,
		processors: opts.SpanProcessors, readers: opts.Readers, registry: t.registry, requests: t.requests,
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

func (t *Telemetry) logger() *slog.Logger { return t.opts.logger() }
