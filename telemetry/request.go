package telemetry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// streamRoute is the http.route of the stream.
const streamRoute = "/sse-stream"

type establishKey struct{}

// An establishment is the request for a stream until the first flush, or until
// it is refused. The goroutine that serves the request has it.
type establishment struct {
	t     *Telemetry
	r     *http.Request
	began time.Time
	span  trace.Span // nil until the connection is admitted
	ctx   context.Context
	// attributes are the span's, which gets them all at its end: each time that
	// it gets some, it makes room anew.
	attributes *[]attribute.KeyValue // nil when the span is not sampled
	ended      bool
	refusal    *stream.Refusal
}

// StreamMiddleware makes the span "GET /sse-stream" of each request for a
// stream. It ends with the first flush, or with the refusal, and
// http.server.request.duration gets the same time; the stream goes on in
// segments. The status is what the hooks tell: the writer is not wrapped, which
// every write of every connection would pay for.
func (t *Telemetry) StreamMiddleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &establishment{t: t, began: time.Now()}
		// In place: a second request would be held as long as the stream is open.
		*r = *r.WithContext(context.WithValue(r.Context(), establishKey{}, e))
		e.r = r
		defer func() {
			if p := recover(); p != nil {
				e.end(time.Now(), http.StatusInternalServerError, fmt.Errorf("panic: %v", p))
				panic(p)
			}
			status := http.StatusOK
			if e.refusal != nil {
				status = e.refusal.Status
			}
			e.end(time.Now(), status, nil)
		}()
		next.ServeHTTP(w, r)
	})
}

// start begins the span, at the time of the request. Streams are always
// sampled, unless OTEL_TRACES_SAMPLER says otherwise; refusals, of which there
// may be any number, share the limit of the other requests.
func (e *establishment) start(admitted bool) {
	ctx := context.WithoutCancel(e.r.Context())
	if admitted {
		ctx = decided(ctx)
	}
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithTimestamp(e.began), trace.WithSpanKind(trace.SpanKindServer),
	}
	if incoming := e.t.incoming(e.r); incoming.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: incoming, Attributes: []attribute.KeyValue{keyLink.String(linkIncoming)}}))
	}
	e.ctx, e.span = e.t.tracer.Start(ctx, method(e.r.Method)+" "+streamRoute, options...)
	if e.span.IsRecording() {
		e.attributes = attributeLists.Get().(*[]attribute.KeyValue)
		*e.attributes = appendRequest((*e.attributes)[:0], e.r)
	}
}

// set gives the span attributes.
func (e *establishment) set(attributes ...attribute.KeyValue) {
	if e.span.IsRecording() {
		*e.attributes = append(*e.attributes, attributes...)
	}
}

// incoming is the trace context that a client sent, which is not trusted. For a
// client that comes back it is that of the stream it continues.
func (t *Telemetry) incoming(r *http.Request) trace.SpanContext {
	ctx := t.propagator.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	return trace.SpanContextFromContext(ctx)
}

// end is called when the client has the headers, or when there will be no
// stream. The second call does nothing.
func (e *establishment) end(now time.Time, status int, err error) {
	if e == nil || e.ended {
		return
	}
	e.ended = true
	if e.span == nil {
		e.start(false)
	}
	e.set(semconv.HTTPResponseStatusCode(status))
	if e.refusal != nil {
		e.set(keyRejectReason.String(e.refusal.Reason))
	}
	if err != nil {
		e.span.RecordError(err, trace.WithTimestamp(now))
		e.span.SetStatus(codes.Error, err.Error())
	} else if status >= 500 {
		e.span.SetStatus(codes.Error, "")
	}
	if status >= 500 {
		e.set(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	}
	if e.attributes != nil {
		e.span.SetAttributes(*e.attributes...) // which copies them
		clear(*e.attributes)
		attributeLists.Put(e.attributes)
	}
	e.t.metrics.request.Record(e.ctx, now.Sub(e.began).Seconds(), e.t.measured(measurementOf(e.r, streamRoute, status))...)
	e.span.End(trace.WithTimestamp(now))
	e.r, e.span, e.ctx, e.attributes = nil, nil, nil, nil // the request, which lives as long as the stream, holds e
}

// A measurement is what http.server.request.duration is told apart by. There
// are few, for methods and versions come from a short list.
type measurement struct {
	method, route, scheme, version string
	status                         int
}

func measurementOf(r *http.Request, route string, status int) measurement {
	return measurement{method(r.Method), route, scheme(r), protocolVersion(r), status}
}

// measured is a measurement with its attributes.
type measured struct {
	what   measurement
	option []metric.RecordOption
}

// measured returns the attributes of http.server.request.duration, made once
// for each measurement.
func (t *Telemetry) measured(what measurement) []metric.RecordOption {
	if option, ok := t.measurements.Load(what); ok {
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
	t.measurements.Store(what, option)
	return option
}

// attributeLists are for establishments: a list for each would be a fifth of
// the garbage that a new connection leaves.
var attributeLists = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}

// appendRequest appends the attributes of the semantic conventions for HTTP
// servers. The query is left out: it may hold a ticket.
func appendRequest(attributes []attribute.KeyValue, r *http.Request) []attribute.KeyValue {
	host, port := hostPort(r.Host)
	attributes = append(attributes,
		semconv.HTTPRequestMethodKey.String(method(r.Method)),
		semconv.URLPath(r.URL.Path), semconv.URLScheme(scheme(r)), semconv.HTTPRoute(streamRoute),
		semconv.ServerAddress(host), semconv.NetworkProtocolVersion(protocolVersion(r)),
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
	port, _ = strconv.Atoi(digits)
	return host, port
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

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

// Middleware makes the span of a route other than the stream, by otelhttp, and
// counts it into http.server.request.duration. The route is a pattern of
// http.ServeMux without method and host. A traceparent of the request becomes a
// link.
//
// Whether there will be a span is known before: a request without one is spared
// what otelhttp does for every request.
func (t *Telemetry) Middleware(route string, next http.Handler) http.Handler {
	if t.disabled {
		return next
	}
	pattern := strings.TrimSuffix(route, "{$}")
	traced := otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(answerKey{}).(*answer).ctx = r.Context() // with the span, for the exemplar
		next.ServeHTTP(w, r)
	}), pattern,
		otelhttp.WithTracerProvider(t.tracerProvider), otelhttp.WithMeterProvider(noop.NewMeterProvider()), otelhttp.WithPropagators(t.propagator),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }))
	var last atomic.Pointer[measured] // mostly the next one's too
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, ctx: r.Context(), status: http.StatusInternalServerError} // until it returns
		began := time.Now()
		defer func() {
			took := time.Since(began).Seconds()
			what := measurementOf(r, pattern, a.status)
			known := last.Load()
			if known == nil || known.what != what {
				known = &measured{what, t.measured(what)}
				last.Store(known)
			}
			t.metrics.request.Record(a.ctx, took, known.option...)
		}()
		if t.limited && !t.requests.take(began) {
			next.ServeHTTP(a, r)
		} else {
			own := r.WithContext(context.WithValue(decided(r.Context()), answerKey{}, a))
			own.Pattern = pattern // otelhttp takes http.route from it
			traced.ServeHTTP(a, own)
		}
		if !a.written {
			a.status = http.StatusOK
		}
	})
}

type answerKey struct{}

// An answer keeps the status of a response.
type answer struct {
	http.ResponseWriter
	ctx     context.Context
	status  int
	written bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if !a.written && status >= 200 {
		a.written, a.status = true, status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if !a.written {
		a.written, a.status = true, http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// PageTraceparent returns the trace context of a request that passed
// [Telemetry.Middleware], for the page that answers it; "" when it is not
// sampled.
func (t *Telemetry) PageTraceparent(r *http.Request) string {
	return traceparent(trace.SpanContextFromContext(r.Context()))
}

// traceparent writes a W3C traceparent, or "" for a context that is not
// sampled.
func traceparent(sc trace.SpanContext) string {
	if !sc.IsSampled() || !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// parseTraceparent reads a W3C traceparent; what is malformed is ignored.
func parseTraceparent(s string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": s})
	return trace.SpanContextFromContext(ctx)
}

// peer returns the address of the client's side of the connection.
func peer(r *http.Request) string {
	host, _ := hostPort(r.RemoteAddr)
	return host
}
