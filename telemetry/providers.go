package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

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
)

// providers make and export spans, metrics and logs, as the environment asks for.
type providers struct {
	tracer     trace.Tracer // of this server's spans
	browser    trace.Tracer // of what happens in the browser
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	logs       *sdklog.LoggerProvider // nil unless logs are exported

	mu   sync.Mutex
	stop []func(context.Context) error
}

// providerOptions are what the providers have, however the environment configures
// them.
type providerOptions struct {
	service, version, node string
	logger                 func() *slog.Logger
	processors             []sdktrace.SpanProcessor
	metricReaders          []func(sdkmetric.Producer) sdkmetric.Reader
	registry               *prometheus.Registry // for /metrics
	requests               *rate.Limiter        // of the spans of requests
	// producer returns what gives the histograms to one metric reader.
	producer func(delta, exponential bool) sdkmetric.Producer
}

// tracer returns the tracer of everything made here.
func (o providerOptions) tracer(p trace.TracerProvider) trace.Tracer {
	return p.Tracer(scopeName, trace.WithInstrumentationVersion(o.version), trace.WithSchemaURL(schemaURL))
}

// metricOptions are what every provider of meters has, however it is configured:
// the views, the reader of /metrics, and Options.Readers.
func (o providerOptions) metricOptions() ([]sdkmetric.Option, error) {
	scrape, err := promexporter.New(promexporter.WithRegisterer(o.registry), promexporter.WithProducer(o.producer(false, false)), promexporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("starting the metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithView(views()...), sdkmetric.WithReader(scrape)}
	for _, reader := range o.metricReaders {
		options = append(options, sdkmetric.WithReader(reader(o.producer(false, false))))
	}
	return options, nil
}

// startProviders starts what a configuration asks for.
func startProviders(ctx context.Context, c config, o providerOptions) (*providers, error) {
	switch {
	case c.disabled:
		tracer := tracenoop.NewTracerProvider().Tracer(scopeName)
		return &providers{tracer: tracer, browser: tracer, meters: metricnoop.NewMeterProvider(), propagator: autoprop.NewTextMapPropagator()}, nil
	case c.file != nil:
		return c.file.start(ctx, o)
	}
	p := &providers{propagator: autoprop.NewTextMapPropagator()}
	if err := p.startByVariables(ctx, c, o); err != nil {
		_ = p.shutdown(ctx) // err says why already
		return nil, err
	}
	return p, nil
}

// shutdown exports what has not been exported yet and ends the export. The second
// call does nothing.
func (p *providers) shutdown(ctx context.Context) error {
	p.mu.Lock()
	stop := p.stop
	p.stop = nil
	p.mu.Unlock()
	errs := make([]error, len(stop))
	var work sync.WaitGroup // one that cannot deliver shall not keep the others from it
	for i, f := range stop {
		work.Go(func() { errs[i] = f(ctx) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// startByVariables starts what the variables say. What has been started is in p, also
// when it fails.
func (p *providers) startByVariables(ctx context.Context, c config, o providerOptions) error {
	server, browser, err := resources(ctx, o)
	if err != nil {
		return err
	}
	if err := p.startTraces(ctx, c, o, server, browser); err != nil {
		return err
	}
	if err := p.startMetrics(ctx, o, server); err != nil {
		return err
	}
	return p.startLogs(ctx, o, server)
}

// resources say who makes the spans. The browser's times are this server's
// clock once they are corrected, so they carry its host.name: otherwise Jaeger
// takes the clocks for skewed and moves the spans.
func resources(ctx context.Context, o providerOptions) (server, browser *resource.Resource, err error) {
	server, err = resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(o.service), semconv.ServiceVersion(o.version), semconv.ServiceInstanceID(o.node)),
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

func (p *providers) startTraces(ctx context.Context, c config, o providerOptions, server, browser *resource.Resource) error {
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = 1024 // headers of a request are attributes
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithRawSpanLimits(limits)}
	if c.limited {
		options = append(options, sdktrace.WithSampler(&sampler{o.requests}))
	}
	for _, processor := range o.processors {
		options = append(options, sdktrace.WithSpanProcessor(processor))
	}
	if exports("TRACES") || exports("LOGS") {
		if err := observeSDK(); err != nil {
			return err
		}
	}
	if exports("TRACES") {
		exporter, err := madePlain("TRACES", func() (sdktrace.SpanExporter, error) { return autoexport.NewSpanExporter(ctx) })
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
		options = append(options, sdktrace.WithSpanProcessor(sdktrace.NewBatchSpanProcessor(recoveringSpans{exporter, newRecovery(o.logger)}, queue...)))
	}
	of := func(r *resource.Resource) *sdktrace.TracerProvider {
		provider := sdktrace.NewTracerProvider(append(options[:len(options):len(options)], sdktrace.WithResource(r))...)
		p.stop = append(p.stop, provider.Shutdown)
		return provider
	}
	// Both share the processors, which end once however often they are asked.
	p.tracer, p.browser = o.tracer(of(server)), o.tracer(of(browser))
	return nil
}

func (p *providers) startMetrics(ctx context.Context, o providerOptions, server *resource.Resource) error {
	options, err := o.metricOptions()
	if err != nil {
		return err
	}
	options = append(options, sdkmetric.WithResource(server))
	if exports("METRICS") {
		reader, err := metricReader(ctx, o.producer(wantsDelta(), wantsExponential()))
		if err != nil {
			return fmt.Errorf("starting the export of metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	p.stop = append(p.stop, provider.Shutdown)
	p.meters = provider
	otel.SetMeterProvider(provider) // the SDK tells of itself there
	return nil
}

// observeProcess adds the metrics of the Go runtime, of the process, and of the SDK
// itself, which tell what it had to drop.
func (p *providers) observeProcess(registry *prometheus.Registry) error {
	if err := runtime.Start(runtime.WithMeterProvider(p.meters)); err != nil {
		return fmt.Errorf("starting the metrics of the Go runtime: %w", err)
	}
	if err := registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
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
	defer plainByDefault("METRICS")()
	return autoexport.NewMetricReader(ctx)
}

func (p *providers) startLogs(ctx context.Context, o providerOptions, server *resource.Resource) error {
	if !exports("LOGS") {
		return nil
	}
	exporter, err := madePlain("LOGS", func() (sdklog.Exporter, error) { return autoexport.NewLogExporter(ctx) })
	if err != nil {
		return fmt.Errorf("starting the export of logs: %w", err)
	}
	p.logs = sdklog.NewLoggerProvider(sdklog.WithResource(server), sdklog.WithProcessor(sdklog.NewBatchProcessor(recoveringLogs{exporter, newRecovery(o.logger)})))
	p.stop = append(p.stop, p.logs.Shutdown)
	return nil
}
