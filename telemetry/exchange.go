package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
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
	requests *requests
	r        *http.Request // as it came; nil when the exchange is over
	route    string
	began    time.Time
	status   int  // 0: nothing has been answered
	stream   bool // a stream has been admitted

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
	case quiet[x.route], !admitted && !followed && !x.requests.allow(x.began):
		x.ctx, x.span = ctx, trace.SpanFromContext(context.Background()) // spared what makes one
		return
	default:
		ctx = decided(ctx)
	}
	x.ctx, x.span = x.requests.tracer.Start(ctx, method(x.r.Method)+" "+x.route, options...)
	if x.span.IsRecording() {
		x.attributes = attributeLists.Get().(*[]attribute.KeyValue)
		*x.attributes = appendRequest((*x.attributes)[:0], x.r, x.route, x.requests.client(x.r))
	}
}

// incoming is the trace context that a client sent, which is not trusted. For a
// client that comes back it is that of the stream it continues.
func (x *exchange) incoming() trace.SpanContext {
	return trace.SpanContextFromContext(x.requests.extract(x.r))
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
	x.requests.measure(x.ctx, measurementOf(x.r, x.route, status), now.Sub(x.began))
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

// traceparent is the trace context of the request, or "" when it is not sampled. A nil
// exchange has none.
func (x *exchange) traceparent() string {
	if x == nil {
		return ""
	}
	sc := x.begin().SpanContext()
	if !sc.IsSampled() {
		return ""
	}
	return traceparent(sc)
}

// attributeLists are for exchanges: a list for each would be a fifth of the
// garbage that a new connection leaves.
var attributeLists = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}
