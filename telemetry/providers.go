package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

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
	t.rec.tracer, t.rec.browser = t.tracerOf(provider), t.tracerOf(of(browser))
	return nil
}

// tracerOf returns the tracer of everything made here.
func (t *Telemetry) tracerOf(p trace.TracerProvider) trace.Tracer {
	return p.Tracer(scopeName, trace.WithInstrumentationVersion(t.opts.Version), trace.WithSchemaURL(schemaURL))
}

func (t *Telemetry) startMetrics(ctx context.Context, server *resource.Resource) error {
	options, err := t.metricOptions()
	if err != nil {
		return err
	}
	options = append(options, sdkmetric.WithResource(server))
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

// metricOptions are what every provider of meters has, however it is configured:
// the views, the reader of /metrics, and Options.Readers.
func (t *Telemetry) metricOptions() ([]sdkmetric.Option, error) {
	scrape, err := promexporter.New(promexporter.WithRegisterer(t.registry), promexporter.WithProducer(t.newProducer(false, false)), promexporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("starting the metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithView(views()...), sdkmetric.WithReader(scrape)}
	for _, reader := range t.opts.Readers {
		options = append(options, sdkmetric.WithReader(reader(t.newProducer(false, false))))
	}
	return options, nil
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
