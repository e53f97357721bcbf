package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry/journey"
)

// scopeName is the instrumentation scope of everything made here.
const scopeName = "weir/telemetry"

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
	// EventTraces is how many traces of events begin in a second at most, and four
	// times as many as begin a second for long; negative means none. Default: DefaultEventTraces. OTEL_TRACES_SAMPLER takes its
	// place.
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

	tracer         trace.Tracer
	browser        trace.Tracer
	tracerProvider trace.TracerProvider
	meterProvider  metric.MeterProvider
	propagator     propagation.TextMapPropagator
	logs           *sdklog.LoggerProvider // nil unless logs are exported
	registry       *prometheus.Registry
	metrics        *metrics
	journeys       *journey.Store
	events         *budget       // spans of events
	requests       *rate.Limiter // spans of requests other than streams
	lates          *rate.Limiter // traces of events that were late
	open           openEvents
	conns          conns
	readers        readers
	sessions       sessions
	growth         growth
	storm          storm
	handler        atomic.Pointer[stream.Handler]
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
		events:   newBudget(opts.EventTraces),
		requests: perSecond(requestTraces),
		lates:    perSecond(min(lateTraces, max(0, opts.EventTraces))),
	}
	t.journeys = journey.NewStore(opts.Node, 0, 0)
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

// disable makes nothing of everything.
func (t *Telemetry) disable() {
	t.disabled = true
	t.tracerProvider, t.meterProvider = tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider()
	t.tracer, t.browser = t.tracerProvider.Tracer(scopeName), t.tracerProvider.Tracer(scopeName)
}

// start starts what the variables say.
func (t *Telemetry) start(ctx context.Context) error {
	t.exponential = wantsExponential()
	server, browser, err := t.resources(ctx)
	if err != nil {
		return err
	}
	if err := t.startTraces(ctx, server, browser); err != nil {
		return err
	}
	if err := t.startMetrics(ctx, server); err != nil {
		return err
	}
	return t.startLogs(ctx, server)
}

// resources say who makes the spans. The browser's times are this server's
// clock once they are corrected, so they carry its host.name: otherwise Jaeger
// takes the clocks for skewed and moves the spans.
func (t *Telemetry) resources(ctx context.Context) (server, browser *resource.Resource, err error) {
	server, err = resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(t.opts.ServiceName), semconv.ServiceVersion(t.opts.Version), semconv.ServiceInstanceID(t.opts.Node)),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, nil, fmt.Errorf("describing this process: %w", err)
	}
	browser, err = resource.Merge(server, resource.NewSchemaless(semconv.ServiceName(browserServiceName)))
	if err != nil {
		return nil, nil, fmt.Errorf("describing the browser: %w", err)
	}
	return server, browser, nil
}

// The queue to the exporter: a server with very many connections ends many
// segments in one moment.
const (
	spanQueue = 8192
	spanDelay = time.Second
)

func (t *Telemetry) startTraces(ctx context.Context, server, browser *resource.Resource) error {
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = 1024 // headers of a request are attributes
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithRawSpanLimits(limits)}
	if t.limited {
		options = append(options, sdktrace.WithSampler(&sampler{t.requests}))
	}
	for _, p := range t.opts.SpanProcessors {
		options = append(options, sdktrace.WithSpanProcessor(p))
	}
	if exports("TRACES") || exports("LOGS") {
		if err := observeSDK(); err != nil {
			return err
		}
	}
	if exports("TRACES") {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return fmt.Errorf("starting the export of traces: %w", err)
		}
		var queue []sdktrace.BatchSpanProcessorOption
		if os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE") == "" {
			queue = append(queue, sdktrace.WithMaxQueueSize(spanQueue))
		}
		if os.Getenv("OTEL_BSP_SCHEDULE_DELAY") == "" {
			queue = append(queue, sdktrace.WithBatchTimeout(spanDelay))
		}
		options = append(options, sdktrace.WithSpanProcessor(sdktrace.NewBatchSpanProcessor(exporter, queue...)))
	}
	of := func(r *resource.Resource) *sdktrace.TracerProvider {
		p := sdktrace.NewTracerProvider(append(options[:len(options):len(options)], sdktrace.WithResource(r))...)
		t.stop = append(t.stop, p.Shutdown)
		return p
	}
	// Both share the processors, which end once however often they are asked.
	provider := of(server)
	t.tracerProvider = provider
	t.tracer = provider.Tracer(scopeName, trace.WithInstrumentationVersion(t.opts.Version))
	t.browser = of(browser).Tracer(scopeName, trace.WithInstrumentationVersion(t.opts.Version))
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, server *resource.Resource) error {
	scrape, err := promexporter.New(promexporter.WithRegisterer(t.registry), promexporter.WithProducer(t.newProducer(false, false)), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("starting the metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithView(views()...), sdkmetric.WithResource(server), sdkmetric.WithReader(scrape)}
	for _, reader := range t.opts.Readers {
		options = append(options, sdkmetric.WithReader(reader(t.newProducer(false, false))))
	}
	if exports("METRICS") {
		reader, err := metricReader(ctx, t.newProducer(wantsDelta(), wantsExponential()))
		if err != nil {
			return fmt.Errorf("starting the export of metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.stop = append(t.stop, provider.Shutdown)
	t.meterProvider = provider
	return t.startInstruments()
}

// startInstruments makes the instruments: those of the stream, of the Go runtime,
// of the process, and of the SDK itself, which tell what it had to drop.
func (t *Telemetry) startInstruments() error {
	otel.SetMeterProvider(t.meterProvider)
	if err := t.setMetrics(); err != nil {
		return err
	}
	if err := runtime.Start(runtime.WithMeterProvider(t.meterProvider)); err != nil {
		return fmt.Errorf("starting the metrics of the Go runtime: %w", err)
	}
	if err := t.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
		return fmt.Errorf("starting the metrics of the process: %w", err)
	}
	return nil
}

// observeSDK has the SDK count what it processes and drops. It takes a variable
// for that, which is read when a processor is made.
func observeSDK() error {
	const name = "OTEL_GO_X_OBSERVABILITY"
	if _, set := os.LookupEnv(name); set {
		return nil
	}
	return os.Setenv(name, "true")
}

// metricReader makes the reader that OTEL_* asks for, with the producer, which
// autoexport takes in a package variable only.
func metricReader(ctx context.Context, p sdkmetric.Producer) (sdkmetric.Reader, error) {
	environment.Lock()
	defer environment.Unlock()
	autoexport.WithFallbackMetricProducer(func(context.Context) (sdkmetric.Producer, error) { return p, nil })
	defer autoexport.WithFallbackMetricProducer(nil)
	return autoexport.NewMetricReader(ctx)
}

func (t *Telemetry) startLogs(ctx context.Context, server *resource.Resource) error {
	if !exports("LOGS") {
		return nil
	}
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return fmt.Errorf("starting the export of logs: %w", err)
	}
	t.logs = sdklog.NewLoggerProvider(sdklog.WithResource(server), sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	t.stop = append(t.stop, t.logs.Shutdown)
	return nil
}

// Journeys are the ways of the last events that were sampled, for the page.
func (t *Telemetry) Journeys() *journey.Store { return t.journeys }

// Observe reads the lag of the handler's connections for the metrics, and the
// names of its topics.
func (t *Telemetry) Observe(h *stream.Handler) { t.handler.Store(h) }

// Shutdown exports what has not been exported yet and ends the export. It
// returns when that is done or ctx is. Calling it again changes nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.open.closeAll()
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

func (t *Telemetry) logger() *slog.Logger {
	if t.opts.Logger != nil {
		return t.opts.Logger
	}
	return slog.Default()
}
