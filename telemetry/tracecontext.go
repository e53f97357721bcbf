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

// A spanRef is the context of a span made here, in less than half the space of
// a trace.SpanContext.
type spanRef struct {
	trace trace.TraceID
	span  trace.SpanID
	flags trace.TraceFlags
}

func refOf(sc trace.SpanContext) spanRef {
	return spanRef{sc.TraceID(), sc.SpanID(), sc.TraceFlags()}
}

func (r spanRef) valid() bool { return r.span.IsValid() }

func (r spanRef) context() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: r.trace, SpanID: r.span, TraceFlags: r.flags})
}
