package telemetry_test

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/telemetry"
)

// TestContradictions: values that are good alone and make no sense together are refused
// by name. The worst: headers in plain text to an https address.
func TestContradictions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ env, names []string }{
		"a batch larger than the queue":         {[]string{"OTEL_BSP_MAX_QUEUE_SIZE=100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=101"}, []string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"}},
		"a batch of logs larger than the queue": {[]string{"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=100000"}, []string{"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"}},
	}
	for _, signal := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		p := "OTEL_EXPORTER_OTLP_" + signal
		cases[signal+"plain to https"] = struct{ env, names []string }{[]string{p + "ENDPOINT=https://127.0.0.1:9", "OTEL_EXPORTER_OTLP_INSECURE=true"}, []string{"OTEL_EXPORTER_OTLP_INSECURE"}}
		cases[signal+"plain to https, for the signal"] = struct{ env, names []string }{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=HTTPS://127.0.0.1:9", p + "INSECURE=TRUE"}, []string{p + "INSECURE"}}
		cases[signal+"TLS to http"] = struct{ env, names []string }{[]string{p + "ENDPOINT=http://127.0.0.1:9", p + "INSECURE=false"}, []string{p + "INSECURE"}}
		cases[signal+"a key without a certificate"] = struct{ env, names []string }{[]string{p + "CLIENT_KEY=" + empty}, []string{p + "CLIENT_KEY"}}
		cases[signal+"a certificate without a key"] = struct{ env, names []string }{[]string{p + "CLIENT_CERTIFICATE=" + empty}, []string{p + "CLIENT_CERTIFICATE"}}
		cases[signal+"a pair that is none"] = struct{ env, names []string }{[]string{p + "CLIENT_CERTIFICATE=" + empty, p + "CLIENT_KEY=" + empty}, []string{p + "CLIENT_CERTIFICATE"}}
		cases[signal+"no certificate"] = struct{ env, names []string }{[]string{p + "CERTIFICATE=" + empty}, []string{p + "CERTIFICATE"}}
	}
	for what, tt := range cases {
		t.Run(what, func(t *testing.T) {
			clearEnv(t)
			for _, pair := range tt.env {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				_ = tel.Shutdown(t.Context())
			}
			if refused := (*telemetry.EnvError)(nil); !errors.As(err, &refused) || !slices.Contains(tt.names, refused.Name) {
				t.Errorf("%v gets %v", tt.env, err)
			}
		})
	}
	t.Run("an argument without its sampler", func(t *testing.T) {
		for _, sampler := range []string{"", "always_on", "parentbased_traceidratio"} {
			clearEnv(t)
			t.Setenv("OTEL_TRACES_SAMPLER", sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
			tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			if told := slices.Contains(tel.Ignored(), "OTEL_TRACES_SAMPLER_ARG"); told == strings.Contains(sampler, "ratio") {
				t.Errorf("with the sampler %q it is told of: %v", sampler, told)
			}
			_ = tel.Shutdown(t.Context())
		}
	})
}

// TestExporterAlone: without an endpoint spans go where the specification says, to
// http://localhost:4318.
func TestExporterAlone(t *testing.T) {
	l, err := net.Listen("tcp", "localhost:4318")
	if err != nil {
		t.Skip("somebody else is a collector here: ", err)
	}
	c := &fileCollector{spans: map[string][]string{}}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: c}}
	server.Start()
	defer server.Close()
	clearEnv(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := tel.Middleware("/publish", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/publish", nil))
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.Contains(c.spans["weir"], "POST /publish") {
		t.Errorf("the collector has %v", c.spans)
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_TRACES_INSECURE") != "" {
		t.Error("the environment is another one afterwards")
	}
}

// TestStrictConfigFile: what would be ignored is refused, by its place.
func TestStrictConfigFile(t *testing.T) {
	for place, text := range map[string]string{
		"tracer_provder":                              "tracer_provder: {}",
		"tracer_provider.processors[].batch.ex":       "tracer_provider: {processors: [{batch: {ex: 1, exporter: {console: {}}}}]}",
		"file_format":                                 "",
		"log_level":                                   "log_level: debug",
		"attribute_limits":                            "attribute_limits: {attribute_count_limit: 4}",
		"distribution":                                "distribution: {weir: {}}",
		"meter_provider.views":                        "meter_provider: {readers: [], views: [{selector: {instrument_name: x}, stream: {name: y}}]}",
		"meter_provider.exemplar_filter":              "meter_provider: {readers: [], exemplar_filter: always_on}",
		"resource.attributes_list":                    "resource: {attributes_list: \"a=b\"}",
		"meter_provider.readers[].periodic.producers": "meter_provider: {readers: [{periodic: {producers: [{opencensus: {}}], exporter: {otlp_http: {endpoint: \"http://127.0.0.1:9\"}}}}]}",
	} {
		clearEnv(t)
		version := "1.0"
		if place == "file_format" {
			version = "0.4"
		}
		file := filepath.Join(t.TempDir(), "otel.yaml")
		if err := os.WriteFile(file, []byte("file_format: \""+version+"\"\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("OTEL_CONFIG_FILE", file)
		tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = tel.Shutdown(t.Context())
		}
		if refused := (*telemetry.EnvError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), place) {
			t.Errorf("%s: %v", place, err)
		}
	}
}

// TestVariablesBesideAFile: they mean nothing, also to the SDK, which would say of a bad
// one that telemetry cannot be exported.
func TestVariablesBesideAFile(t *testing.T) {
	clearEnv(t)
	file := filepath.Join(t.TempDir(), "otel.yaml")
	if err := os.WriteFile(file, []byte("file_format: \"1.0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_CONFIG_FILE", file)
	t.Setenv("OTEL_TRACES_SAMPLER", "foo")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "bar")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	t.Setenv("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://127.0.0.1:9")
	var log strings.Builder
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w := serve(tel.Middleware("/x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})), "GET", "/x", nil)
	if text := serve(tel.MetricsHandler(), "GET", "/metrics", nil).Body.String(); w.Code != 200 || !strings.Contains(text, "http_server_request_duration") {
		t.Error("a variable has disabled what the file does not")
	}
	_ = tel.Shutdown(t.Context())
	if log.Len() > 0 {
		t.Errorf("it says %s", log.String())
	}
	if names := tel.Ignored(); !slices.Contains(names, "OTEL_TRACES_SAMPLER") || !slices.Contains(names, "OTEL_EXPORTER_ZIPKIN_ENDPOINT") || !slices.Contains(names, "OTEL_SDK_DISABLED") || os.Getenv("OTEL_TRACES_SAMPLER") != "foo" {
		t.Errorf("ignored are %v", tel.Ignored())
	}
}
