package telemetry

import (
	"os"
	"strings"
)

// configVariable names the file of a configuration.
const configVariable = "OTEL_CONFIG_FILE"

// A config is what the environment asks for: by its variables, or by the file that
// one of them names. The other variables mean nothing then, other than by ${NAME}
// in the file.
type config struct {
	disabled    bool        // there are no spans and no metrics
	limited     bool        // no sampler is configured: event traces are limited here
	exponential bool        // an exporter wants exponential histograms
	file        *configFile // nil: the variables say the rest
}

// readConfig reads the variables and the file.
func readConfig() (config, error) {
	name := os.Getenv(configVariable)
	if name == "" {
		if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
			return config{disabled: true}, nil
		}
		return config{limited: os.Getenv("OTEL_TRACES_SAMPLER") == "", exponential: wantsExponential()}, nil
	}
	file, err := readConfigFile(name)
	if err != nil {
		return config{}, err
	}
	return config{disabled: file.disabled(), limited: !file.hasSampler(), exponential: file.exponential(), file: file}, nil
}
