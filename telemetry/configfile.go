package telemetry

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/otelconf"
	"go.opentelemetry.io/otel"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// environment guards the process's environment while it is changed for somebody who
// reads it.
var environment sync.Mutex

// withoutVariables calls a function as if no OTEL_* variable were set: beside a file they
// mean nothing, but the SDK and the exporters would look at them, and otelconf would take
// the file that OTEL_CONFIG_FILE names in place of what it is given.
func withoutVariables(f func() error) error {
	environment.Lock()
	defer environment.Unlock()
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "OTEL_GO_X_") {
			defer os.Setenv(name, value) //nolint:errcheck // it was set to that
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	return f()
}

// A configFile is the file that OTEL_CONFIG_FILE names, as otelconf reads it.
type configFile struct {
	name string
	otelconf.OpenTelemetryConfiguration
}

func readConfigFile(name string) (*configFile, error) {
	f := &configFile{name: name}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, f.refused("a file that can be read: " + err.Error())
	}
	if err := checkStrictly(text); err != nil {
		return nil, f.refused("a configuration of OpenTelemetry that can be followed: " + err.Error())
	}
	config, err := otelconf.ParseYAML(text)
	if err != nil {
		return nil, f.refused("a configuration of OpenTelemetry: " + err.Error())
	}
	f.OpenTelemetryConfiguration = *config
	return f, nil
}

// refused says what would be accepted in place of the file.
func (f *configFile) refused(accepted string) error {
	return &EnvError{Name: configVariable, Value: f.name, Accepted: accepted}
}

func (f *configFile) disabled() bool { return f.Disabled != nil && *f.Disabled }

func (f *configFile) hasSampler() bool {
	return f.TracerProvider != nil && f.TracerProvider.Sampler != nil
}

// exponential reports whether an exporter wants exponential histograms.
func (f *configFile) exponential() bool {
	if f.MeterProvider == nil {
		return false
	}
	for _, r := range f.MeterProvider.Readers {
		if r.Periodic != nil && formOf(r.Periodic.Exporter).exponential {
			return true
		}
	}
	return false
}

// start starts what the file says. What the page asks for is kept all the same.
func (f *configFile) start(ctx context.Context, o providerOptions) (p *providers, err error) {
	if err := observeSDK(); err != nil {
		return nil, err
	}
	err = withoutVariables(func() error { p, err = f.begin(ctx, o); return err })
	return p, err
}

func (f *configFile) begin(ctx context.Context, o providerOptions) (*providers, error) {
	metricReaders, err := f.metricReaders(ctx, o.producer)
	if err != nil {
		return nil, f.refused("without " + err.Error())
	}
	metrics, err := o.metricOptions()
	if err != nil {
		return nil, err
	}
	for _, r := range metricReaders {
		metrics = append(metrics, sdkmetric.WithReader(r))
	}
	var spans []sdktrace.TracerProviderOption
	for _, p := range o.processors {
		spans = append(spans, sdktrace.WithSpanProcessor(p))
	}
	config := f.named(o, o.service, false)
	if config.TracerProvider == nil { // what the page asks for needs spans that nobody exports
		config.TracerProvider = &otelconf.TracerProvider{}
	}
	meters := otelconf.MeterProvider{}
	if config.MeterProvider != nil {
		meters = *config.MeterProvider
	}
	meters.Readers = nil // which are made here, with the histograms
	config.MeterProvider = &meters
	server, err := newSDK(ctx, config, otelconf.WithTracerProviderOptions(spans...), otelconf.WithMeterProviderOptions(metrics...))
	if err != nil {
		return nil, f.refused("a configuration that can be followed: " + err.Error())
	}
	browserConfig := f.named(o, browserServiceName, true)
	browserConfig.TracerProvider, browserConfig.MeterProvider, browserConfig.LoggerProvider = config.TracerProvider, nil, nil
	browser, err := newSDK(ctx, browserConfig, otelconf.WithTracerProviderOptions(spans...))
	if err != nil {
		return nil, fmt.Errorf("starting the browser's traces: %w", err)
	}
	otel.SetMeterProvider(server.MeterProvider())
	p := &providers{
		tracer: o.tracer(server.TracerProvider()), browser: o.tracer(browser.TracerProvider()),
		meters: server.MeterProvider(), propagator: server.Propagator(),
		stop: []func(context.Context) error{server.Shutdown, browser.Shutdown},
	}
	if logs, ok := server.LoggerProvider().(*sdklog.LoggerProvider); ok && f.LoggerProvider != nil {
		p.logs = logs
	}
	return p, nil
}

func newSDK(ctx context.Context, config otelconf.OpenTelemetryConfiguration, options ...otelconf.ConfigurationOption) (otelconf.SDK, error) {
	return otelconf.NewSDK(append(options, otelconf.WithContext(ctx), otelconf.WithOpenTelemetryConfiguration(config))...)
}

// named gives the configuration the attributes of its resource that the file does
// not state, and the name of the service if that must be.
func (f *configFile) named(o providerOptions, service string, always bool) otelconf.OpenTelemetryConfiguration {
	config := f.OpenTelemetryConfiguration
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
	for _, a := range [][2]string{{"service.name", service}, {"service.version", o.version}, {"service.instance.id", o.node}, {"host.name", host}} {
		if !stated[a[0]] && a[1] != "" {
			kept = append(kept, otelconf.AttributeNameValue{Name: a[0], Value: a[1]})
		}
	}
	r.Attributes = kept
	config.Resource = &r
	return config
}

// metricReaders makes the readers of the metrics that the file asks for. otelconf's own
// would not have the histograms that are kept here.
func (f *configFile) metricReaders(ctx context.Context, newProducer func(delta, exponential bool) sdkmetric.Producer) (readers []sdkmetric.Reader, err error) {
	if f.MeterProvider == nil {
		return nil, nil
	}
	for i, r := range f.MeterProvider.Readers {
		where := fmt.Sprintf("meter_provider.readers[%d]", i)
		if r.Pull != nil || r.Periodic == nil {
			return nil, fmt.Errorf("%s.pull: /metrics is served anyway", where)
		}
		exporter, err := otlpExporter(ctx, r.Periodic.Exporter)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		form := formOf(r.Periodic.Exporter)
		options := []sdkmetric.PeriodicReaderOption{sdkmetric.WithProducer(newProducer(form.delta, form.exponential))}
		if r.Periodic.Interval != nil {
			options = append(options, sdkmetric.WithInterval(time.Duration(*r.Periodic.Interval)*time.Millisecond))
		}
		if r.Periodic.Timeout != nil {
			options = append(options, sdkmetric.WithTimeout(time.Duration(*r.Periodic.Timeout)*time.Millisecond))
		}
		readers = append(readers, sdkmetric.NewPeriodicReader(exporter, options...))
	}
	return readers, nil
}
