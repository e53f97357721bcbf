package telemetry_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"weir/stream"
	"weir/telemetry"
)

// specified is the specification's table of variables (general SDK configuration,
// batch processors, limits, exporters, metrics), each with a good value and a bad
// one; "" where there is no such. Those without a good value are refused whatever
// they say.
var specified = map[string][2]string{
	"OTEL_SDK_DISABLED":        {"false", "perhaps"},
	"OTEL_RESOURCE_ATTRIBUTES": {"team=blue", "=="},
	"OTEL_SERVICE_NAME":        {"mine", ""},
	"OTEL_PROPAGATORS":         {"tracecontext,b3", "smoke"},
	"OTEL_TRACES_SAMPLER":      {"always_on", "jaeger_remote"},

	"OTEL_BSP_SCHEDULE_DELAY": {"100", "soon"}, "OTEL_BSP_EXPORT_TIMEOUT": {"100", "-1"},
	"OTEL_BSP_MAX_QUEUE_SIZE": {"100", "0"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": {"10", "none"},
	"OTEL_BLRP_SCHEDULE_DELAY": {"100", "soon"}, "OTEL_BLRP_EXPORT_TIMEOUT": {"100", "-1"},
	"OTEL_BLRP_MAX_QUEUE_SIZE": {"100", "0"}, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": {"10", "none"},

	"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"100", "long"}, "OTEL_ATTRIBUTE_COUNT_LIMIT": {"100", "many"},
	"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"100", "long"}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": {"100", "many"},
	"OTEL_SPAN_EVENT_COUNT_LIMIT": {"100", "many"}, "OTEL_SPAN_LINK_COUNT_LIMIT": {"100", "many"},
	"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": {"100", "many"}, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": {"100", "many"},
	"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"100", "long"}, "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": {"100", "many"},

	"OTEL_TRACES_EXPORTER": {"none", "zipkin"}, "OTEL_METRICS_EXPORTER": {"none", "graphite"}, "OTEL_LOGS_EXPORTER": {"none", "paper"},
	"OTEL_METRICS_EXEMPLAR_FILTER": {"always_off", "some"}, "OTEL_METRIC_EXPORT_INTERVAL": {"1000", "0"}, "OTEL_METRIC_EXPORT_TIMEOUT": {"1000", "0"},
	"OTEL_EXPORTER_PROMETHEUS_HOST": {"127.0.0.1", ""}, "OTEL_EXPORTER_PROMETHEUS_PORT": {"0", "ninety"},

	"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE":        {"delta", "sometimes"},
	"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": {"base2_exponential_bucket_histogram", "bars"},

	"OTEL_EXPORTER_ZIPKIN_ENDPOINT": {}, "OTEL_EXPORTER_ZIPKIN_TIMEOUT": {},
	"OTEL_EXPORTER_JAEGER_ENDPOINT": {}, "OTEL_EXPORTER_JAEGER_AGENT_HOST": {}, "OTEL_EXPORTER_JAEGER_AGENT_PORT": {},
	"OTEL_EXPORTER_JAEGER_TIMEOUT": {}, "OTEL_EXPORTER_JAEGER_USER": {}, "OTEL_EXPORTER_JAEGER_PASSWORD": {}, "OTEL_EXPORTER_JAEGER_PROTOCOL": {},
	"OTEL_EXPERIMENTAL_CONFIG_FILE": {},
}

func init() {
	for _, signal := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		for name, values := range map[string][2]string{
			"ENDPOINT": {"http://127.0.0.1:9", "http://127.0.0.1:99999"}, "PROTOCOL": {"http/protobuf", "http/json"}, "HEADERS": {"a=b", "a"},
			"COMPRESSION": {"gzip", "zstd"}, "TIMEOUT": {"100", "never"}, "INSECURE": {"true", "yes"},
			"CERTIFICATE": {"", "/nothing/here"}, "CLIENT_CERTIFICATE": {"", "/nothing/here"}, "CLIENT_KEY": {"", "/nothing/here"},
		} {
			specified["OTEL_EXPORTER_OTLP_"+signal+name] = values
		}
	}
}

// TestSpecifiedVariables walks through the table: nothing in it is ignored in
// silence.
func TestSpecifiedVariables(t *testing.T) {
	setup := func(t *testing.T, name, value string) (*telemetry.Telemetry, error) {
		clearEnv(t)
		t.Setenv(name, value)
		tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = tel.Shutdown(t.Context()) // a collector that is not there
		}
		return tel, err
	}
	for name, values := range specified {
		t.Run(name, func(t *testing.T) {
			if good := values[0]; good != "" {
				tel, err := setup(t, name, good)
				if err != nil {
					t.Fatalf("%s=%s is refused: %v", name, good, err)
				}
				if slices.Contains(tel.Ignored(), name) {
					t.Errorf("%s is ignored", name)
				}
			}
			bad := values[1]
			if values == [2]string{} {
				bad = "anything"
			}
			if bad == "" {
				return
			}
			var refused *telemetry.EnvError
			if _, err := setup(t, name, bad); !errors.As(err, &refused) || refused.Name != name {
				t.Errorf("%s=%s gets %v", name, bad, err)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Setenv("OTEL_LOG_LEVEL", "debug")
		tel, err := setup(t, "OTEL_PYTHON_LOG_CORRELATION", "true")
		if err != nil || !slices.Contains(tel.Ignored(), "OTEL_PYTHON_LOG_CORRELATION") || !slices.Contains(tel.Ignored(), "OTEL_LOG_LEVEL") {
			t.Errorf("%v: nobody would be told of what is ignored", err)
		}
	})
}

// A fileCollector takes spans by OTLP, and tells them by service.
type fileCollector struct {
	mu    sync.Mutex
	spans map[string][]string // names, by service
	bytes int
}

func (c *fileCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req coltrace.ExportTraceServiceRequest
	if r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += len(body)
	for _, rs := range req.ResourceSpans {
		service := ""
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans[service] = append(c.spans[service], s.Name)
			}
		}
	}
}

// TestConfigFile configures everything by a file: spans go where it says, the page
// still has its journeys, and metrics can be scraped.
func TestConfigFile(t *testing.T) {
	clearEnv(t)
	c := &fileCollector{spans: map[string][]string{}}
	server := httptest.NewServer(c)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "otel.yaml")
	text := `file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: by-file}
tracer_provider:
  processors:
    - batch:
        schedule_delay: 10
        exporter: {otlp_http: {endpoint: "` + server.URL + `/v1/traces"}}
meter_provider:
  readers:
    - periodic:
        interval: 50
        exporter: {otlp_http: {endpoint: "` + server.URL + `/v1/metrics", temporality_preference: delta}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_CONFIG_FILE", file)
	t.Setenv("OTEL_SERVICE_NAME", "by-variable")
	r := newRig(t, telemetry.Options{}, stream.HubOptions{})
	stream := r.connect("/sse-stream", nil, nil)
	for r.handler.Active() == 0 || stream.text() == "" {
		time.Sleep(time.Millisecond) // until the stream is open
	}
	r.publish(`1`)
	for !strings.Contains(stream.text(), `"data":1`) {
		time.Sleep(time.Millisecond) // until the event is there
	}
	if list := r.tel.Journeys(); func() int { n, _, _ := list.Held(); return n }() != 1 {
		t.Error("the page has no journeys")
	}
	if text := serve(r.tel.MetricsHandler(), "GET", "/metrics", nil).Body.String(); !strings.Contains(text, `sse_server_delivery_duration_seconds_count{sse_topic="sensor"} 1`) {
		t.Error("the metrics cannot be scraped")
	}
	if !slices.Contains(r.tel.Ignored(), "OTEL_SERVICE_NAME") || os.Getenv("OTEL_CONFIG_FILE") != file {
		t.Errorf("ignored are %v", r.tel.Ignored())
	}
	stream.leave()
	r.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("%d bytes for %d spans", c.bytes, len(c.spans["by-file"]))
	for _, name := range []string{"GET /sse-stream", "stream sensor", "event sensor", "send sensor", "deliver sensor"} {
		if !slices.Contains(c.spans["by-file"], name) {
			t.Errorf("the collector has no span %s of the file's service: %v", name, c.spans)
		}
	}
}

func TestBadConfigFile(t *testing.T) {
	for what, text := range map[string]string{"no YAML": "}{", "an exporter that there is not": "file_format: \"1.0\"\ntracer_provider:\n  processors:\n    - batch: {exporter: {zipkin: {endpoint: \"http://x\"}}}\n"} {
		clearEnv(t)
		file := filepath.Join(t.TempDir(), "otel.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("OTEL_CONFIG_FILE", file)
		var refused *telemetry.EnvError
		if _, err := telemetry.Setup(t.Context(), telemetry.Options{}); !errors.As(err, &refused) || refused.Name != "OTEL_CONFIG_FILE" {
			t.Errorf("%s: %v", what, err)
		}
	}
}
