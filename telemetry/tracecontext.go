package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

// contextOf returns the trace context that an event carries; one that is
// malformed is none.
func contextOf(e *stream.Event) trace.SpanContext {
	if e.Traceparent == "" {
		return trace.SpanContext{}
	}
	return parseContext(e.Traceparent, e.Tracestate)
}

// setContext gives an event its trace context: that of the span in which it was
// created.
func setContext(e *stream.Event, sc trace.SpanContext) {
	e.Traceparent = traceparent(sc)
	e.Tracestate = sc.TraceState().String()
}

// traceparent writes a W3C traceparent, or "" for a context that is not valid.
func traceparent(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + (sc.TraceFlags() & trace.FlagsSampled).String()
}

// parseContext reads a W3C traceparent and tracestate; what is malformed is
// ignored.
func parseContext(traceparent, tracestate string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent, "tracestate": tracestate})
	return trace.SpanContextFromContext(ctx)
}

// refTo names the event that was created in a span.
func refTo(sc trace.SpanContext) journey.Ref {
	return journey.Ref{Trace: sc.TraceID(), Span: sc.SpanID()}
}
