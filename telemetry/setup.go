package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"

	"weir/stream"
	"weir/stream/eventlog"
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

// Options configure [Setup]. The zero value works.
type Options struct {
	// ServiceName is the service.name. Default: "weir". OTEL_SERVICE_NAME wins.
	ServiceName string
	// Version is the service.version.
	Version string
	// Node is the service.instance.id. Default: random.
	Node string
	// Logger takes what happens to connections, sources and exporters. Default:
	// slog.Default(), asked each time.
	Logger *slog.Logger
	// EventTraces bounds the traces of events: at most this many begin in one
	// second. In the long run a quarter of them begin, but at least
	// min(EventTraces, 12) a second; fewer if they have more than six spans each.
	// Negative: none. Default: DefaultEventTraces. OTEL_TRACES_SAMPLER takes the
	// place of this limit.
	EventTraces int
	// EventTypes are the event types that metrics tell apart; others count as
	// "_OTHER". Default: eventlog.DefaultType.
	EventTypes []string
	// RejectReasons are the reasons for which requests for a stream are refused,
	// besides those of package stream; others count as "_OTHER".
	RejectReasons []string
	// Client returns the address of a client. Default: that of the peer.
	Client func(r *http.Request) string
	// ReportRate counts a report of a page, and returns how long to wait if there
	// are too many. Default: reportRate a second of all clients together.
	ReportRate func(r *http.Request) (wait time.Duration)
	// SpanProcessors get all spans, in addition to what OTEL_* says.
	SpanProcessors []sdktrace.SpanProcessor
	// Readers make further readers of the metrics; each must register the
	// producer that it is given.
	Readers []func(sdkmetric.Producer) sdkmetric.Reader
}

// Telemetry observes one server. Its methods may be called by any goroutine.
type Telemetry struct {
	opts        Options
	disabled    bool // by OTEL_SDK_DISABLED
	limited     bool // no sampler is configured: event traces are limited here
	exponential bool // an exporter wants exponential histograms

	tracerProvider trace.TracerProvider
	meterProvider  metric.MeterProvider
	propagator     propagation.TextMapPropagator
	logs           *sdklog.LoggerProvider // nil unless logs are exported
	registry       *prometheus.Registry
	metrics        *metrics
	rec            *recorder
	requests       *rate.Limiter // spans of requests other than streams
	lates          *rate.Limiter // traces of events that were late
	pending        pendingEvents
	conns          conns
	readers        readers
	sessions       sessions
	storm          storm
	handler        observedHandler
	measurements   sync.Map // of measurement to []metric.RecordOption

	mu   sync.Mutex
	stop []func(context.Context) error
}

// Setup starts what the OTEL_* variables ask for. It returns an [*EnvError] for
// a value that makes no sense. The error handler of package otel is set: there
// is one in a process.
func Setup(ctx context.Context, opts Options) (*Telemetry, error) {
	if err := checkEnv(); err != nil {
		return nil, err
	}
	if opts.ServiceName == "" {
		opts.ServiceName = serviceName
	}
	if opts.EventTraces == 0 {
		opts.EventTraces = DefaultEventTraces
	}
	if opts.EventTypes == nil {
		opts.EventTypes = []string{eventlog.DefaultType}
	}
	if opts.Client == nil {
		opts.Client = peer
	}
	if opts.ReportRate == nil {
		all := rate.NewLimiter(reportRate, reportRate)
		opts.ReportRate = func(*http.Request) time.Duration {
			if all.Allow() {
				return 0
			}
			return time.Second
		}
	}
	if opts.Node == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		opts.Node = hex.EncodeToString(b[:])
	}
	t := &Telemetry{
		opts:     opts,
		disabled: strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true"),
		limited:  os.Getenv("OTEL_TRACES_SAMPLER") == "",
		registry: prometheus.NewRegistry(),
		rec:      &recorder{journeys: journey.NewStore(opts.Node, 0, 0), budget: newBudget(opts.EventTraces)},
		requests: perSecond(requestTraces),
		lates:    perSecond(min(lateTraces, max(0, opts.EventTraces))),
	}
	limited := &limitedLog{logger: t.logger}
	otel.SetErrorHandler(limited)
	otel.SetLogger(logr.Discard()) // it repeats what the error handler gets
	t.propagator = autoprop.NewTextMapPropagator()
	if t.disabled {
		t.disable()
		return t, t.setMetrics()
	}
	start := t.start
	if file := os.Getenv(configFile); file != "" {
		start = func(ctx context.Context) error { return t.startByFile(ctx, file) }
	}
	if err := start(ctx); err != nil {
		_ = t.Shutdown(ctx) // err says why already
		return nil, err
	}
	return t, nil
}

// disable replaces all providers by no-ops.
func (t *Telemetry) disable() {
	t.disabled = true
	t.tracerProvider, t.meterProvider = tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider()
	t.rec.tracer, t.rec.browser = t.tracerProvider.Tracer(scopeName), t.tracerProvider.Tracer(scopeName)
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
	t.mu.Lock()
	stop := t.stop
	t.stop = nil
	t.mu.Unlock()
	errs := make([]error, len(stop))
	var work sync.WaitGroup // one that cannot deliver shall not keep the others from it
	for i, f := range stop {
		work.Go(func() { errs[i] = f(ctx) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// setMetrics makes the metrics, for readers that are there already.
func (t *Telemetry) setMetrics() error {
	t.metrics = newMetrics(&topics{
		families: newFamilies(t.exponential), handler: &t.handler,
		types: t.opts.EventTypes, rejects: slices.Concat([]string{other}, stream.RejectReasons, t.opts.RejectReasons),
	})
	return t.metrics.register(t.meterProvider.Meter(scopeName, metric.WithInstrumentationVersion(t.opts.Version), metric.WithSchemaURL(schemaURL)))
}

func (t *Telemetry) logger() *slog.Logger {
	if t.opts.Logger != nil {
		return t.opts.Logger
	}
	return slog.Default()
}
