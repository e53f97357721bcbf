package telemetry

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/otelconf"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A form is what an exporter wants of histograms.
type form struct{ delta, exponential bool }

// formOf is the form that a file asks for. Only exporters by OTLP ask for one.
func formOf(e otelconf.PushMetricExporter) form {
	switch {
	case e.OTLPHttp != nil:
		return newForm(e.OTLPHttp.TemporalityPreference, e.OTLPHttp.DefaultHistogramAggregation)
	case e.OTLPGrpc != nil:
		return newForm(e.OTLPGrpc.TemporalityPreference, e.OTLPGrpc.DefaultHistogramAggregation)
	default:
		return form{}
	}
}

// otlpExporter makes an exporter of metrics by OTLP.
func otlpExporter(ctx context.Context, e otelconf.PushMetricExporter) (sdkmetric.Exporter, error) {
	f := formOf(e)
	switch {
	case e.OTLPHttp != nil:
		c := e.OTLPHttp
		if c.Tls != nil {
			return nil, fmt.Errorf("exporter.otlp_http.tls, which is not supported: use an address with https and a well-known certificate, or the variables")
		}
		options := append([]otlpmetrichttp.Option{otlpmetrichttp.WithTemporalitySelector(f.temporality), otlpmetrichttp.WithAggregationSelector(f.aggregation)},
			otlpOptions(c.Endpoint, headersOf(c.Headers, c.HeadersList), c.Timeout, otlpmetrichttp.WithEndpointURL, otlpmetrichttp.WithHeaders, otlpmetrichttp.WithTimeout)...)
		if c.Compression != nil && *c.Compression == "gzip" {
			options = append(options, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		}
		return otlpmetrichttp.New(ctx, options...)
	case e.OTLPGrpc != nil:
		c := e.OTLPGrpc
		if c.Tls != nil {
			return nil, fmt.Errorf("exporter.otlp_grpc.tls, which is not supported: use an address with https and a well-known certificate, or the variables")
		}
		options := append([]otlpmetricgrpc.Option{otlpmetricgrpc.WithTemporalitySelector(f.temporality), otlpmetricgrpc.WithAggregationSelector(f.aggregation)},
			otlpOptions(c.Endpoint, headersOf(c.Headers, c.HeadersList), c.Timeout, otlpmetricgrpc.WithEndpointURL, otlpmetricgrpc.WithHeaders, otlpmetricgrpc.WithTimeout)...)
		if c.Compression != nil && *c.Compression == "gzip" {
			options = append(options, otlpmetricgrpc.WithCompressor("gzip"))
		}
		return otlpmetricgrpc.New(ctx, options...)
	default:
		return nil, fmt.Errorf("an exporter other than otlp_http and otlp_grpc")
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

func newForm(temporality *otelconf.ExporterTemporalityPreference, aggregation *otelconf.ExporterDefaultHistogramAggregation) form {
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
