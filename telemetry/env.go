package telemetry

import (
	"fmt"
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

var checks = map[string]check{
	"OTEL_SDK_DISABLED":                   boolean,
	"OTEL_TRACES_EXPORTER":                oneOf("otlp", "console", "none"),
	"OTEL_METRICS_EXPORTER":               oneOf("otlp", "console", "prometheus", "none"),
	"OTEL_LOGS_EXPORTER":                  oneOf("otlp", "console", "none"),
	"OTEL_METRICS_PRODUCERS":              listOf("prometheus", "none"),
	"OTEL_PROPAGATORS":                    listOf("tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace", "none"),
	"OTEL_TRACES_SAMPLER":                 oneOf("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
	"OTEL_METRICS_EXEMPLAR_FILTER":        oneOf("always_on", "always_off", "trace_based"),
	"OTEL_RESOURCE_ATTRIBUTES":            pairs,
	"OTEL_EXPORTER_OTLP_PROTOCOL":         protocol,
	"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":  protocol,
	"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": protocol,
	"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL":    protocol,
	"OTEL_EXPORTER_OTLP_ENDPOINT":         address,
	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  address,
	"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": address,
	"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT":    address,
	"OTEL_EXPORTER_OTLP_HEADERS":          pairs,
	"OTEL_EXPORTER_OTLP_TRACES_HEADERS":   pairs,
	"OTEL_EXPORTER_OTLP_METRICS_HEADERS":  pairs,
	"OTEL_EXPORTER_OTLP_LOGS_HEADERS":     pairs,
	"OTEL_EXPORTER_OTLP_COMPRESSION":      oneOf("gzip", "none"),
	"OTEL_EXPORTER_OTLP_TIMEOUT":          number(0),
	"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT":   number(0),
	"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT":  number(0),
	"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT":     number(0),
	"OTEL_METRIC_EXPORT_INTERVAL":         number(1),
	"OTEL_METRIC_EXPORT_TIMEOUT":          number(1),
	"OTEL_BSP_SCHEDULE_DELAY":             number(0),
	"OTEL_BSP_EXPORT_TIMEOUT":             number(0),
	"OTEL_BSP_MAX_QUEUE_SIZE":             number(1),
	"OTEL_BSP_MAX_EXPORT_BATCH_SIZE":      number(1),
	"OTEL_BLRP_SCHEDULE_DELAY":            number(0),
	"OTEL_BLRP_EXPORT_TIMEOUT":            number(0),
	"OTEL_BLRP_MAX_QUEUE_SIZE":            number(1),
	"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE":     number(1),
}

// checkEnv returns the first bad variable, by name.
func checkEnv() error {
	names := make([]string, 0, len(checks))
	for name := range checks {
		names = append(names, name)
	}
	slices.Sort(names)
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
	if value := os.Getenv(argument); value != "" && strings.HasSuffix(os.Getenv(sampler), "traceidratio") {
		if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0 && f <= 1) {
			return &EnvError{Name: argument, Value: value, Accepted: "a number from 0 to 1"}
		}
	}
	return nil
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
