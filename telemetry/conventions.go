package telemetry

import (
	"net"
	"net/http"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// What the semantic conventions for HTTP servers ask for.

// A measurement is what http.server.request.duration is told apart by. There
// are few, for methods and versions come from a short list.
type measurement struct {
	method, route, scheme, version string
	status                         int
}

func measurementOf(r *http.Request, route string, status int) measurement {
	return measurement{method(r.Method), route, scheme(r), protocolVersion(r), status}
}

// measurements are those that there have been, with the attributes of
// http.server.request.duration.
type measurements struct {
	options sync.Map // of measurement to []metric.RecordOption
}

// option returns the attributes, made once for each measurement.
func (m *measurements) option(what measurement) []metric.RecordOption {
	if option, ok := m.options.Load(what); ok {
		return option.([]metric.RecordOption)
	}
	attributes := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(what.method), semconv.HTTPRoute(what.route), semconv.URLScheme(what.scheme),
		semconv.NetworkProtocolVersion(what.version), semconv.HTTPResponseStatusCode(what.status),
	}
	if what.status >= 500 {
		attributes = append(attributes, semconv.ErrorTypeKey.String(strconv.Itoa(what.status)))
	}
	option := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
	m.options.Store(what, option)
	return option
}

// appendRequest appends the attributes of a request. The query is left out: it may
// hold a ticket.
func appendRequest(attributes []attribute.KeyValue, r *http.Request, route, client string) []attribute.KeyValue {
	host, port := hostPort(r.Host)
	attributes = append(attributes,
		semconv.HTTPRequestMethodKey.String(method(r.Method)),
		semconv.URLPath(r.URL.Path), semconv.URLScheme(scheme(r)), semconv.HTTPRoute(route),
		semconv.ServerAddress(host), semconv.NetworkProtocolVersion(protocolVersion(r)), semconv.ClientAddress(client),
	)
	if port > 0 {
		attributes = append(attributes, semconv.ServerPort(port))
	}
	if address, port := hostPort(r.RemoteAddr); address != "" {
		attributes = append(attributes, semconv.NetworkPeerAddress(address))
		if port > 0 {
			attributes = append(attributes, semconv.NetworkPeerPort(port))
		}
	}
	if agent := r.UserAgent(); agent != "" {
		attributes = append(attributes, semconv.UserAgentOriginal(agent))
	}
	return attributes
}

func hostPort(s string) (host string, port int) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0
	}
	port, _ = strconv.Atoi(digits) // 0 where it is no number
	return host, port
}

// peer returns the address of the client's side of the connection.
func peer(r *http.Request) string {
	host, _ := hostPort(r.RemoteAddr)
	return host
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// other stands for what is not in a bounded set that the semantic conventions
// define.
const other = "_OTHER"

func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	default:
		return other
	}
}

func protocolVersion(r *http.Request) string {
	switch {
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		return "1.0"
	case r.ProtoMajor == 1:
		return "1.1"
	case r.ProtoMajor == 2:
		return "2"
	default:
		return "3"
	}
}
