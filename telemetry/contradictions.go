package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strconv"
	"strings"
)

const otlpPrefix = "OTEL_EXPORTER_OTLP_"

var signals = []string{"TRACES", "METRICS", "LOGS"}

// otlpVariable returns the variable that holds for a signal, its own or the one for all,
// and its value; "" where neither is set.
func otlpVariable(signal, what string) (name, value string) {
	for _, name := range []string{otlpPrefix + signal + "_" + what, otlpPrefix + what} {
		if value := os.Getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// checkTogether returns the first variable that makes no sense beside another one, each
// of which is good alone.
func checkTogether() error {
	for _, signal := range signals {
		if err := checkTLS(signal); err != nil {
			return err
		}
	}
	for _, queue := range []struct {
		prefix string
		size   int // by default
	}{{"OTEL_BSP_", spanQueue}, {"OTEL_BLRP_", 2048}} {
		name, size := queue.prefix+"MAX_EXPORT_BATCH_SIZE", queue.size
		if n, err := strconv.Atoi(os.Getenv(queue.prefix + "MAX_QUEUE_SIZE")); err == nil {
			size = n
		}
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > size {
			return &EnvError{Name: name, Value: os.Getenv(name), Accepted: "no more than " + queue.prefix + "MAX_QUEUE_SIZE, which is " + strconv.Itoa(size)}
		}
	}
	return nil
}

// checkTLS checks what is said of a signal's connection. The exporters would follow
// INSECURE against the scheme of the address: so the headers, with what they keep
// secret, would go in plain text to an https:// address.
func checkTLS(signal string) error {
	at, endpoint := otlpVariable(signal, "ENDPOINT")
	if name, insecure := otlpVariable(signal, "INSECURE"); endpoint != "" && name != "" {
		if scheme, _, _ := strings.Cut(endpoint, "://"); strings.EqualFold(scheme, "https") == strings.EqualFold(insecure, "true") {
			return &EnvError{Name: name, Value: insecure, Accepted: "unset, for the address in " + at + " says it by its " + scheme + "://"}
		}
	}
	certificate, certificateFile := otlpVariable(signal, "CLIENT_CERTIFICATE")
	key, keyFile := otlpVariable(signal, "CLIENT_KEY")
	switch {
	case certificate == "" && key == "":
	case certificate == "":
		return &EnvError{Name: key, Value: keyFile, Accepted: "unset, or beside the CLIENT_CERTIFICATE whose key it is"}
	case key == "":
		return &EnvError{Name: certificate, Value: certificateFile, Accepted: "unset, or beside the CLIENT_KEY that belongs to it"}
	default:
		if _, err := tls.LoadX509KeyPair(certificateFile, keyFile); err != nil {
			return &EnvError{Name: certificate, Value: certificateFile, Accepted: "a certificate in PEM that goes with the key in " + key + ": " + err.Error()}
		}
	}
	return nil
}

// certificates is a file of certificates.
func certificates(v string) (string, bool) {
	text, err := os.ReadFile(v)
	return "a file that can be read, of certificates in PEM", err == nil && x509.NewCertPool().AppendCertsFromPEM(text)
}

// plainByDefault has the exporter of a signal go to http://localhost where no variable
// says where to, as the specification wants it; the exporters' own default is https. It
// is for the time in which the exporter is made: call restore after it.
func plainByDefault(signal string) (restore func()) {
	for _, what := range []string{"ENDPOINT", "INSECURE", "CERTIFICATE", "CLIENT_CERTIFICATE"} {
		if name, _ := otlpVariable(signal, what); name != "" {
			return func() {}
		}
	}
	name := otlpPrefix + signal + "_INSECURE"
	_ = os.Setenv(name, "true") // a name without = or NUL can be set
	return func() { _ = os.Unsetenv(name) }
}

// madePlain makes an exporter under [plainByDefault].
func madePlain[E any](signal string, newExporter func() (E, error)) (E, error) {
	environment.Lock()
	defer environment.Unlock()
	defer plainByDefault(signal)()
	return newExporter()
}
