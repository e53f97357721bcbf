package telemetry

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// An EnvError says that an environment variable has a value that makes no
// sense.
type EnvError struct {
	Name, Value string
	Accepted    string // what would be accepted
}

func (e *EnvError) Error() string {
	return fmt.Sprintf("%s=%q is not valid: it must be %s", e.Name, e.Value, e.Accepted)
}

// check is what a value of a variable must be. The SDK would take some bad
// values for the default without a word, and name no variable for others.
type check func(value string) (accepted string, ok bool)

func oneOf(values ...string) check {
	return func(v string) (string, bool) {
		return "one of " + strings.Join(values, ", "), slices.Contains(values, v)
	}
}

func listOf(values ...string) check {
	return func(v string) (string, bool) {
		for part := range strings.SplitSeq(v, ",") {
			if !slices.Contains(values, part) {
				return "a list, with commas, of " + strings.Join(values, ", "), false
			}
		}
		return "", true
	}
}

func boolean(v string) (string, bool) {
	return "true or false", strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
}

func address(v string) (string, bool) {
	u, err := url.Parse(v)
	if err == nil && u.Port() != "" {
		_, err = strconv.ParseUint(u.Port(), 10, 16)
	}
	return "an address such as http://localhost:4318", err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func number(least int) check {
	return func(v string) (string, bool) {
		n, err := strconv.Atoi(v)
		return fmt.Sprintf("a whole number, %d or more", least), err == nil && n >= least
	}
}

func pairs(v string) (string, bool) {
	for part := range strings.SplitSeq(v, ",") {
		key, _, found := strings.Cut(part, "=")
		if _, err := url.PathUnescape(part); !found || strings.TrimSpace(key) == "" || err != nil {
			return "a list such as key=value,key=value, percent-encoded", false
		}
	}
	return "", true
}

var protocol = oneOf("grpc", "http/protobuf")

// secret are variables whose values are not repeated in an error.
var secret = []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"}

func oneOfFold(values ...string) check {
	return func(v string) (string, bool) {
		return "one of " + strings.Join(values, ", "), slices.ContainsFunc(values, func(one string) bool { return strings.EqualFold(one, v) })
	}
}

func file(v string) (string, bool) {
	_, err := os.ReadFile(v)
	return "a file that can be read", err == nil
}

func port(v string) (string, bool) {
	n, err := strconv.Atoi(v)
	return "a port", err == nil && n >= 0 && n < 1<<16
}

func anything(string) (string, bool) { return "", true }

// checks are the variables that are honoured: those that the specification's table
// marks for Go.
var checks = map[string]check{
	"OTEL_SDK_DISABLED":        boolean,
	"OTEL_CONFIG_FILE":         file,
	"OTEL_SERVICE_NAME":        anything,
	"OTEL_RESOURCE_ATTRIBUTES": pairs,
	"OTEL_PROPAGATORS":         listOf("tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace", "none"),
	"OTEL_TRACES_SAMPLER":      oneOf("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
	"OTEL_TRACES_SAMPLER_ARG":  anything, // by its sampler

	"OTEL_TRACES_EXPORTER":          oneOf("otlp", "console", "none"),
	"OTEL_METRICS_EXPORTER":         oneOf("otlp", "console", "prometheus", "none"),
	"OTEL_LOGS_EXPORTER":            oneOf("otlp", "console", "none"),
	"OTEL_METRICS_PRODUCERS":        oneOf("none"),
	"OTEL_METRICS_EXEMPLAR_FILTER":  oneOf("always_on", "always_off", "trace_based"),
	"OTEL_METRIC_EXPORT_INTERVAL":   number(1),
	"OTEL_METRIC_EXPORT_TIMEOUT":    number(1),
	"OTEL_EXPORTER_PROMETHEUS_HOST": anything,
	"OTEL_EXPORTER_PROMETHEUS_PORT": port,

	"OTEL_BSP_SCHEDULE_DELAY":         number(0),
	"OTEL_BSP_EXPORT_TIMEOUT":         number(0),
	"OTEL_BSP_MAX_QUEUE_SIZE":         number(1),
	"OTEL_BSP_MAX_EXPORT_BATCH_SIZE":  number(1),
	"OTEL_BLRP_SCHEDULE_DELAY":        number(0),
	"OTEL_BLRP_EXPORT_TIMEOUT":        number(0),
	"OTEL_BLRP_MAX_QUEUE_SIZE":        number(1),
	"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": number(1),

	"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT":           number(0),
	"OTEL_ATTRIBUTE_COUNT_LIMIT":                  number(0),
	"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT":      number(0),
	"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT":             number(0),
	"OTEL_SPAN_EVENT_COUNT_LIMIT":                 number(0),
	"OTEL_SPAN_LINK_COUNT_LIMIT":                  number(0),
	"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT":            number(0),
	"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT":             number(0),
	"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": number(0),
	"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT":        number(0),

	"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE":        oneOfFold("cumulative", "delta", "lowmemory"),
	"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": oneOfFold("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
}

// Those of the OTLP exporters are there for all signals, and for each.
func init() {
	for _, signal := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		for name, check := range map[string]check{
			"ENDPOINT": address, "PROTOCOL": protocol, "HEADERS": pairs, "COMPRESSION": oneOf("gzip", "none"), "TIMEOUT": number(0),
			"INSECURE": boolean, "CERTIFICATE": certificates, "CLIENT_CERTIFICATE": file, "CLIENT_KEY": file,
		} {
			checks["OTEL_EXPORTER_OTLP_"+signal+name] = check
		}
	}
}

// refused are variables of the specification that mean something that Weir does
// not do: to ignore them would be to do something else than was asked for.
var refused = map[string]string{
	"OTEL_EXPERIMENTAL_CONFIG_FILE":      "unset: its name is OTEL_CONFIG_FILE now",
	"OTEL_EXPORTER_ZIPKIN_ENDPOINT":      "unset: spans go out by OTLP, see OTEL_EXPORTER_OTLP_ENDPOINT",
	"OTEL_EXPORTER_ZIPKIN_TIMEOUT":       "unset: spans go out by OTLP",
	"OTEL_EXPORTER_JAEGER_ENDPOINT":      "unset: Jaeger takes OTLP, see OTEL_EXPORTER_OTLP_ENDPOINT",
	"OTEL_EXPORTER_JAEGER_AGENT_HOST":    "unset: Jaeger takes OTLP, see OTEL_EXPORTER_OTLP_ENDPOINT",
	"OTEL_EXPORTER_JAEGER_AGENT_PORT":    "unset: Jaeger takes OTLP, see OTEL_EXPORTER_OTLP_ENDPOINT",
	"OTEL_EXPORTER_JAEGER_PROTOCOL":      "unset: Jaeger takes OTLP",
	"OTEL_EXPORTER_JAEGER_TIMEOUT":       "unset: Jaeger takes OTLP",
	"OTEL_EXPORTER_JAEGER_USER":          "unset: Jaeger takes OTLP",
	"OTEL_EXPORTER_JAEGER_PASSWORD":      "unset: Jaeger takes OTLP",
	"OTEL_EXPORTER_OTLP_SPAN_INSECURE":   "unset: its name is OTEL_EXPORTER_OTLP_TRACES_INSECURE",
	"OTEL_EXPORTER_OTLP_METRIC_INSECURE": "unset: its name is OTEL_EXPORTER_OTLP_METRICS_INSECURE",
}

// ignoredEnv returns the OTEL_* variables that are set and mean nothing here.
func ignoredEnv() (names []string) {
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "OTEL_GO_X_") || value == "" {
			continue
		}
		_, known := checks[name]
		if name == "OTEL_TRACES_SAMPLER_ARG" && !strings.HasSuffix(os.Getenv("OTEL_TRACES_SAMPLER"), "traceidratio") {
			known = false // the other samplers take none
		}
		if !known || os.Getenv(configVariable) != "" && name != configVariable {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkEnv returns the first bad variable, by name.
func checkEnv() error {
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if os.Getenv(name) != "" && os.Getenv(configVariable) == "" {
			return &EnvError{Name: name, Value: "…", Accepted: refused[name]}
		}
	}
	names := slices.Sorted(maps.Keys(checks))
	if os.Getenv(configVariable) != "" {
		names = []string{configVariable} // the others mean nothing
	}
	for _, name := range names {
		value := os.Getenv(name)
		if value == "" {
			continue // as the specification has it, empty is unset
		}
		if accepted, ok := checks[name](value); !ok {
			if slices.Contains(secret, name) {
				value = "…"
			}
			return &EnvError{Name: name, Value: value, Accepted: accepted}
		}
	}
	const sampler, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	if value := os.Getenv(argument); value != "" && os.Getenv(configVariable) == "" && strings.HasSuffix(os.Getenv(sampler), "traceidratio") {
		if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0 && f <= 1) {
			return &EnvError{Name: argument, Value: value, Accepted: "a number from 0 to 1"}
		}
	}
	if os.Getenv(configVariable) != "" {
		return nil
	}
	return checkTogether()
}

// exports reports whether a signal is to be exported: by OTEL_signal_EXPORTER,
// or because an OTLP endpoint is given. The OTLP default of localhost is not
// enough: with nothing set, nothing is sent anywhere.
func exports(signal string) bool {
	if e := os.Getenv("OTEL_" + signal + "_EXPORTER"); e != "" {
		return e != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}
