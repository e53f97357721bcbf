package telemetry

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/otelconf"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const configFile = "OTEL_CONFIG_FILE"

// environment guards the process's environment while otelconf reads it: it would
// take the file that OTEL_CONFIG_FILE names in place of what it is given.
var environment sync.Mutex

// startByFile starts what the file says that OTEL_CONFIG_FILE names, by otelconf.
// What the page asks for is kept all the same. The other variables mean nothing
// then, other than by ${NAME} in the file.
func (t *Telemetry) startByFile(ctx context.Context, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return &EnvError{Name: configFile, Value: name, Accepted: "a file that can be read: " + err.Error()}
	}
	config, err := otelconf.ParseYAML(text)
	if err != nil {
		return &EnvError{Name: configFile, Value: name, Accepted: "a configuration of OpenTelemetry: " + err.Error()}
	}
	if config.Disabled != nil && *config.Disabled {
		t.disable()
		return t.setMetrics()
	}
	t.limited = config.TracerProvider == nil || config.TracerProvider.Sampler == nil
	readers, exponential, err := t.fileReaders(ctx, config.MeterProvider)
	if err != nil {
		return &EnvError{Name: configFile, Value: name, Accepted: "without " + err.Error()}
	}
	t.exponential = exponential
	if err := observeSDK(); err != nil {
		return err
	}
	metrics, err := t.metricOptions()
	if err != nil {
		return err
	}
	for _, r := range readers {
		metrics = append(metrics, sdkmetric.WithReader(r))
	}
	var spans []sdktrace.TracerProviderOption
	for _, p := range t.opts.SpanProcessors {
		spans = append(spans, sdktrace.WithSpanProcessor(p))
	}
	if config.TracerProvider == nil { // what the page asks for needs spans that nobody exports
		config.TracerProvider = &otelconf.TracerProvider{}
	}
	if config.MeterProvider == nil {
		config.MeterProvider = &otelconf.MeterProvider{}
	}
	config.MeterProvider.Readers = nil // which are made here, with the histograms
	logs := config.LoggerProvider != nil
	server, err := newSDK(ctx, t.named(*config, t.opts.ServiceName, false), otelconf.WithTracerProviderOptions(spans...), otelconf.WithMeterProviderOptions(metrics...))
	if err != nil {
		return &EnvError{Name: configFile, Value: name, Accepted: "a configuration that can be followed: " + err.Error()}
	}
	browserConfig := t.named(*config, browserServiceName, true)
	browserConfig.MeterProvider, browserConfig.LoggerProvider = nil, nil
	browser, err := newSDK(ctx, browserConfig, otelconf.WithTracerProviderOptions(spans...))
	if err != nil {
		return fmt.Errorf("starting the browser's traces: %w", err)
	}
	t.stop = append(t.stop, server.Shutdown, browser.Shutdown)
	t.tracerProvider, t.meterProvider, t.propagator = server.TracerProvider(), server.MeterProvider(), server.Propagator()
	t.rec.tracer, t.rec.browser = t.tracerOf(server.TracerProvider()), t.tracerOf(browser.TracerProvider())
	if p, ok := server.LoggerProvider().(*sdklog.LoggerProvider); ok && logs {
		t.logs = p
	}
	return t.startInstruments()
}

// newSDK is otelconf.NewSDK, without a look at OTEL_CONFIG_FILE.
func newSDK(ctx context.Context, config otelconf.OpenTelemetryConfiguration, options ...otelconf.ConfigurationOption) (otelconf.SDK, error) {
	environment.Lock()
	defer environment.Unlock()
	name := os.Getenv(configFile)
	defer os.Setenv(configFile, name) //nolint:errcheck // it was set to that
	if err := os.Unsetenv(configFile); err != nil {
		return otelconf.SDK{}, err
	}
	return otelconf.NewSDK(append(options, otelconf.WithContext(ctx), otelconf.WithOpenTelemetryConfiguration(config))...)
}

// named gives a configuration the attributes of its resource that the file does
// not state, and the name of the service if that must be.
func (t *Telemetry) named(config otelconf.OpenTelemetryConfiguration, service string, always bool) otelconf.OpenTelemetryConfiguration {
	r := otelconf.Resource{}
	if config.Resource != nil {
		r = *config.Resource
	}
	stated := map[string]bool{}
	var kept []otelconf.AttributeNameValue
	for _, a := range r.Attributes {
		if always && a.Name == "service.name" {
			continue
		}
		stated[a.Name] = true
		kept = append(kept, a)
	}
	host, _ := os.Hostname() // empty where there is none
	for _, a := range [][2]string{{"service.name", service}, {"service.version", t.opts.Version}, {"service.instance.id", t.opts.Node}, {"host.name", host}} {
		if !stated[a[0]] && a[1] != "" {
			kept = append(kept, otelconf.AttributeNameValue{Name: a[0], Value: a[1]})
		}
	}
	r.Attributes = kept
	config.Resource = &r
	return config
}

// fileReaders makes the readers of the metrics that a file asks for. otelconf's own
// would not have the histograms that are kept here.
func (t *Telemetry) fileReaders(ctx context.Context, m *otelconf.MeterProvider) (readers []sdkmetric.Reader, exponential bool, err error) {
	if m == nil {
		return nil, false, nil
	}
	for i, r := range m.Readers {
		where := fmt.Sprintf("meter_provider.readers[%d]", i)
		if r.Pull != nil || r.Periodic == nil {
			return nil, false, fmt.Errorf("%s.pull: /metrics is served anyway", where)
		}
		exporter, form, err := fileExporter(ctx, r.Periodic.Exporter)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", where, err)
		}
		exponential = exponential || form.exponential
		options := []sdkmetric.PeriodicReaderOption{sdkmetric.WithProducer(t.newProducer(form.delta, form.exponential))}
		if r.Periodic.Interval != nil {
			options = append(options, sdkmetric.WithInterval(time.Duration(*r.Periodic.Interval)*time.Millisecond))
		}
		if r.Periodic.Timeout != nil {
			options = append(options, sdkmetric.WithTimeout(time.Duration(*r.Periodic.Timeout)*time.Millisecond))
		}
		readers = append(readers, sdkmetric.NewPeriodicReader(exporter, options...))
	}
	return readers, exponential, nil
}

// A form is what an exporter wants of histograms.
type form struct{ delta, exponential bool }

// fileExporter makes an exporter of metrics by OTLP.
func fileExporter(ctx context.Context, e otelconf.PushMetricExporter) (sdkmetric.Exporter, form, error) {
	switch {
	case e.OTLPHttp != nil:
		c := e.OTLPHttp
		if c.Tls != nil {
			return nil, form{}, fmt.Errorf("exporter.otlp_http.tls, which is not supported: use an address with https and a well-known certificate, or the variables")
		}
		f := formOf(c.TemporalityPreference, c.DefaultHistogramAggregation)
		options := append([]otlpmetrichttp.Option{otlpmetrichttp.WithTemporalitySelector(f.temporality), otlpmetrichttp.WithAggregationSelector(f.aggregation)},
			otlpOptions(c.Endpoint, headersOf(c.Headers, c.HeadersList), c.Timeout, otlpmetrichttp.WithEndpointURL, otlpmetrichttp.WithHeaders, otlpmetrichttp.WithTimeout)...)
		if c.Compression != nil && *c.Compression == "gzip" {
			options = append(options, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		}
		exporter, err := otlpmetrichttp.New(ctx, options...)
		return exporter, f, err
	case e.OTLPGrpc != nil:
		c := e.OTLPGrpc
		if c.Tls != nil {
			return nil, form{}, fmt.Errorf("exporter.otlp_grpc.tls, which is not supported: use an address with https and a well-known certificate, or the variables")
		}
		f := formOf(c.TemporalityPreference, c.DefaultHistogramAggregation)
		options := append([]otlpmetricgrpc.Option{otlpmetricgrpc.WithTemporalitySelector(f.temporality), otlpmetricgrpc.WithAggregationSelector(f.aggregation)},
			otlpOptions(c.Endpoint, headersOf(c.Headers, c.HeadersList), c.Timeout, otlpmetricgrpc.WithEndpointURL, otlpmetricgrpc.WithHeaders, otlpmetricgrpc.WithTimeout)...)
		exporter, err := otlpmetricgrpc.New(ctx, options...)
		return exporter, f, err
	default:
		return nil, form{}, fmt.Errorf("an exporter other than otlp_http and otlp_grpc")
	}
}

// otlpOptions returns the options that both OTLP exporters have, each made by the
// exporter's own function. What the file does not state is left out; the timeout
// is in milliseconds.
func otlpOptions[O any](endpoint *string, headers map[string]string, timeout *int, withEndpoint func(string) O, withHeaders func(map[string]string) O, withTimeout func(time.Duration) O) (options []O) {
	if endpoint != nil {
		options = append(options, withEndpoint(*endpoint))
	}
	if len(headers) > 0 {
		options = append(options, withHeaders(headers))
	}
	if timeout != nil {
		options = append(options, withTimeout(time.Duration(*timeout)*time.Millisecond))
	}
	return options
}

func formOf(temporality *otelconf.ExporterTemporalityPreference, aggregation *otelconf.ExporterDefaultHistogramAggregation) form {
	return form{
		delta:       temporality != nil && *temporality != otelconf.ExporterTemporalityPreferenceCumulative,
		exponential: aggregation != nil && *aggregation == otelconf.ExporterDefaultHistogramAggregationBase2ExponentialBucketHistogram,
	}
}

func headersOf(pairs []otelconf.NameStringValuePair, list *string) map[string]string {
	headers := map[string]string{}
	if list != nil {
		for part := range strings.SplitSeq(*list, ",") {
			if name, value, found := strings.Cut(part, "="); found {
				if decoded, err := url.PathUnescape(value); err == nil {
					value = decoded
				}
				headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
			}
		}
	}
	for _, p := range pairs {
		if p.Value != nil {
			headers[p.Name] = *p.Value
		}
	}
	return headers
}

func (f form) temporality(kind sdkmetric.InstrumentKind) metricdata.Temporality {
	if f.delta {
		switch kind {
		case sdkmetric.InstrumentKindUpDownCounter, sdkmetric.InstrumentKindObservableUpDownCounter:
		default:
			return metricdata.DeltaTemporality
		}
	}
	return metricdata.CumulativeTemporality
}

func (f form) aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	if f.exponential && kind == sdkmetric.InstrumentKindHistogram {
		return sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
	}
	return sdkmetric.DefaultAggregationSelector(kind)
}
