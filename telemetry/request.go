package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// quiet are the routes that get no spans: scrapes, health checks, and what the
// page asks about telemetry itself.
var quiet = map[string]bool{
	"/metrics": true, "/livez": true, "/readyz": true, "/sse-health": true, "/sse-metrics": true,
	"/telemetry/browser": true, "/traces": true, "/traces/{trace_id}": true,
}

// An exchange is a request and its answer. Owned by the request's goroutine; after
// a stream is admitted, by the stream's owner, which on the lean transport is
// another goroutine. The span of an exchange ends with the answer; for a stream,
// with the first flush.
type exchange struct {
	http.ResponseWriter
	t      *Telemetry
	r      *http.Request // as it came; nil when the exchange is over
	route  string
	began  time.Time
	status int  // 0: nothing has been answered
	stream bool // a stream has been admitted

	span    trace.Span // nil until it begins
	ctx     context.Context
	remote  trace.SpanContext // of the client, when it is trusted
	trusted bool
	refusal *stream.Refusal
	// attributes are the span's. The span gets all of them at its end, since it
	// makes room anew each time that it gets some.
	attributes *[]attribute.KeyValue // nil when the span is not sampled
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// Middleware makes the span of a request, and counts it into
// http.server.request.duration. The route is a pattern of http.ServeMux without
// method and host. Of a stream, the span and the duration end with the first
// flush, or with the refusal: the stream goes on in segments.
//
// The trace context of a client becomes a link. [Telemetry.Publisher] makes it the
// parent.
//
// A stream always gets a span, unless OTEL_TRACES_SAMPLER says otherwise. Other
// requests, and refusals, of which there may be any number, share a limit.
func (t *Telemetry) Middleware(route string, next http.Handler) http.Handler {
	if t.disabled {
		return next
	}
	if len(route) > 3 && route[len(route)-3:] == "{$}" {
		route = route[:len(route)-3]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, t: t, r: r, route: route, began: time.Now()}
		defer func() {
			p := recover()
			switch {
			case x.stream:
				if p != nil {
					panic(p)
				}
			case p != nil:
				if p != http.ErrAbortHandler { // which is how an answer is broken off on purpose
					x.end(time.Now(), http.StatusInternalServerError, fmt.Errorf("panic: %v", p))
				}
				x.end(time.Now(), cmpOr(x.status, x.aborted()), nil)
				panic(p)
			default:
				x.end(time.Now(), cmpOr(x.status, http.StatusOK), nil)
			}
		}()
		next.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	})
}

// statusAborted stands for an answer that was never given: the connection was
// closed instead.
const statusAborted = 499

// aborted is the status of a request that got no answer: that of the refusal which
// was told so, as one in a drain is.
func (x *exchange) aborted() int {
	if x.refusal != nil {
		return x.refusal.Status
	}
	return statusAborted
}

func cmpOr(status, fallback int) int {
	if status != 0 {
		return status
	}
	return fallback
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(p)
}

// Publisher returns the context of a request by somebody who has shown a right to
// publish: the request, and what it publishes, belong to the trace that its
// headers tell of, as OTEL_PROPAGATORS says, and its baggage is in the context.
func (t *Telemetry) Publisher(r *http.Request) context.Context {
	ctx := r.Context()
	from := t.providers.propagator.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	if t.disabled {
		return trace.ContextWithRemoteSpanContext(ctx, trace.SpanContextFromContext(from))
	}
	x := exchangeOf(ctx)
	if x == nil || x.r == nil || x.span != nil {
		return ctx
	}
	x.trusted, x.remote = true, trace.SpanContextFromContext(from)
	if b := baggage.FromContext(from); b.Len() > 0 {
		ctx = baggage.ContextWithBaggage(ctx, b)
	}
	return trace.ContextWithSpan(ctx, x.begin())
}

// begin begins the span of a request that is not a stream's, unless it has.
func (x *exchange) begin() trace.Span {
	if x.span == nil && x.r != nil {
		x.start(false)
	}
	if x.span == nil {
		return trace.SpanFromContext(context.Background())
	}
	return x.span
}

// start begins the span, at the time of the request. A stream is admitted.
func (x *exchange) start(admitted bool) {
	ctx := context.WithoutCancel(x.r.Context())
	options := []trace.SpanStartOption{trace.WithTimestamp(x.began), trace.WithSpanKind(trace.SpanKindServer)}
	switch incoming := x.incoming(); {
	case x.trusted && x.remote.IsValid():
		ctx = trace.ContextWithRemoteSpanContext(ctx, x.remote)
	default:
		options = append(options, trace.WithNewRoot())
		if incoming.IsValid() {
			options = append(options, trace.WithLinks(link(incoming, linkIncoming)))
		}
	}
	switch followed := x.trusted && x.remote.IsValid(); {
	case quiet[x.route], x.t.limited && !admitted && !followed && !allow(x.t.requests, x.began):
		x.ctx, x.span = ctx, trace.SpanFromContext(context.Background()) // spared what makes one
		return
	default:
		ctx = decided(ctx)
	}
	x.ctx, x.span = x.t.rec.tracer.Start(ctx, method(x.r.Method)+" "+x.route, options...)
	if x.span.IsRecording() {
		x.attributes = attributeLists.Get().(*[]attribute.KeyValue)
		*x.attributes = x.t.appendRequest((*x.attributes)[:0], x.r, x.route)
	}
}

// incoming is the trace context that a client sent, which is not trusted. For a
// client that comes back it is that of the stream it continues.
func (x *exchange) incoming() trace.SpanContext {
	return trace.SpanContextFromContext(x.t.providers.propagator.Extract(context.Background(), propagation.HeaderCarrier(x.r.Header)))
}

// set gives the span attributes.
func (x *exchange) set(attributes ...attribute.KeyValue) {
	if x.attributes != nil {
		*x.attributes = append(*x.attributes, attributes...)
	}
}

// end is called when the client has its answer, or the headers of a stream. The
// second call does nothing.
func (x *exchange) end(now time.Time, status int, err error) {
	if x == nil || x.r == nil {
		return
	}
	if x.span == nil {
		x.start(false)
	}
	x.set(semconv.HTTPResponseStatusCode(status))
	if x.refusal != nil {
		x.set(keyRejectReason.String(x.refusal.Reason))
	}
	if err != nil {
		x.span.RecordError(err, trace.WithTimestamp(now))
		x.span.SetStatus(codes.Error, err.Error())
	} else if status >= 500 {
		x.span.SetStatus(codes.Error, "")
	}
	if status >= 500 {
		x.set(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	}
	if x.attributes != nil {
		x.span.SetAttributes(*x.attributes...) // which copies them
		clear(*x.attributes)
		attributeLists.Put(x.attributes)
	}
	x.t.metrics.request.Record(x.ctx, now.Sub(x.began).Seconds(), x.t.measured(measurementOf(x.r, x.route, status))...)
	x.span.End(trace.WithTimestamp(now))
	x.r, x.span, x.ctx, x.attributes = nil, nil, nil, nil // a stream's context holds x
}

// unopened ends the span of a request that was admitted, but whose client got
// no stream: because it went, or because there is nothing left to send.
func (x *exchange) unopened(now time.Time, reason stream.CloseReason, err error) {
	x.set(keyCloseReason.String(string(reason)))
	if kind := errorType(reason); kind != "" {
		x.set(keyErrorType.String(kind))
	}
	switch {
	case reason == stream.ClosePanic:
		x.end(now, http.StatusInternalServerError, err)
	case reason == stream.CloseEnded:
		x.end(now, http.StatusNoContent, nil)
	default:
		x.end(now, http.StatusOK, err)
	}
}

// attributeLists are for exchanges: a list for each would be a fifth of the
// garbage that a new connection leaves.
var attributeLists = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}

// PageTraceparent returns the trace context of a request that passed
// [Telemetry.Middleware], for the page that answers it; "" when it is not
// sampled.
func (t *Telemetry) PageTraceparent(r *http.Request) string {
	x := exchangeOf(r.Context())
	if x == nil {
		return ""
	}
	sc := x.begin().SpanContext()
	if !sc.IsSampled() {
		return ""
	}
	return traceparent(sc)
}
