package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry/journey"
)

// Hooks returns what a hub is to call. With OTEL_SDK_DISABLED they only log.
func (t *Telemetry) Hooks() stream.Hooks {
	hooks := stream.Hooks{Connect: t.connect, Reject: t.reject, Source: t.source}
	if !t.disabled {
		hooks.Publish, hooks.Receive = t.publish, t.receive
	}
	return hooks
}

// publish begins the span of an event that is sampled.
func (t *Telemetry) publish(ctx context.Context, topic string, e *stream.Event) func(stream.ID, error) {
	tm := t.metrics.topic(topic)
	began := time.Now()
	span := t.send(ctx, topic, e, began)
	if span != nil {
		sc := span.SpanContext()
		e.Traceparent = traceparent(sc)
		e.Tag = t.newEventTrace(topic, sc, tm.active())
	}
	published := tm.publishedAs(e.Type)
	return func(id stream.ID, err error) {
		if err != nil {
			t.metrics.dropped.Add(ctx, 1, t.metrics.topicReason(topic, dropReason(err)))
		} else {
			published.Add(1)
			if !t.brokered(tm) { // else it is counted when it comes back
				t.metrics.fanout.Record(ctx, tm.active(), tm.option)
			}
		}
		if span == nil {
			return
		}
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
			span.SetAttributes(keyErrorType.String(dropReason(err)))
		} else {
			span.SetAttributes(keyEventID.String(id.String()))
			t.journeys.Publish(refTo(span.SpanContext()), journey.Event{Topic: topic, ID: id.String(), Type: e.Type, Subject: e.Subject, Node: t.opts.Node, Published: began},
				journey.Span{Began: began, Ended: time.Now()}, journey.Span{})
		}
		span.End()
	}
}

// brokered reports whether the events of a topic come through a broker.
func (t *Telemetry) brokered(tm *topicMetrics) bool {
	if !tm.known.Load() {
		h := t.handler.Load()
		if h == nil {
			return tm.brokered.Load()
		}
		if h.Hub.Health()[tm.name].Broker != nil {
			tm.brokered.Store(true)
		}
		tm.known.Store(true)
	}
	return tm.brokered.Load()
}

func dropReason(err error) string {
	switch {
	case errors.Is(err, stream.ErrUnavailable):
		return dropUnavailable
	case errors.Is(err, stream.ErrClosed):
		return dropClosed
	case errors.Is(err, stream.ErrInvalid):
		return dropInvalid
	default:
		return other
	}
}

// send begins the span of an event, or returns nil for one that is not
// sampled. The event's own trace context comes from somebody who may publish:
// it is the parent, and decides. So does a remote one in ctx.
func (t *Telemetry) send(ctx context.Context, topic string, e *stream.Event, now time.Time) trace.Span {
	local := trace.SpanContextFromContext(ctx)
	if e.Traceparent != "" {
		if own := parseTraceparent(e.Traceparent); own.IsValid() {
			ctx = trace.ContextWithRemoteSpanContext(ctx, own)
		} else {
			e.Traceparent = "" // nobody else shall have to deal with it
		}
	}
	parent := trace.SpanContextFromContext(ctx)
	if t.limited {
		sample := parent.IsSampled()
		if !parent.IsRemote() {
			// Published by a request without a span, or by none, it begins a trace.
			sample = (sample || !parent.IsValid()) && t.events.take(now)
		}
		if !sample {
			return nil
		}
		ctx = decided(ctx)
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(now), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			keyTopic.String(topic), keyEventType.String(e.Type), keyBodySize.Int(len(e.Data)),
			keySystem.String(serviceName), keyOperation.String("send"), keyOperationType.String("send"), keyDestination.String(topic)),
	}
	if parent.IsRemote() && local.IsValid() && !local.IsRemote() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: local, Attributes: []attribute.KeyValue{keyLink.String(linkRequest)}}))
	}
	_, span := t.tracer.Start(ctx, "send "+topic, options...)
	if !span.SpanContext().IsSampled() {
		span.End()
		return nil
	}
	return span
}

// receive takes up the trace of an event that came through a broker.
func (t *Telemetry) receive(topic string, e *stream.Event) {
	tm := t.metrics.topic(topic)
	tm.brokered.Store(true)
	t.metrics.fanout.Record(context.Background(), tm.active(), tm.option)
	if e.Traceparent == "" {
		return
	}
	sc := parseTraceparent(e.Traceparent)
	if !sc.IsSampled() {
		return
	}
	e.Tag = t.newEventTrace(topic, sc, tm.active())
	now := time.Now()
	t.journeys.Receive(refTo(sc), journey.Event{Topic: topic, ID: e.ID.String(), Type: e.Type, Subject: e.Subject}, journey.Span{Began: now, Ended: now})
}

// reject notes a refusal. The span gets it from the middleware.
func (t *Telemetry) reject(r *http.Request, refusal *stream.Refusal) {
	topic := r.URL.Query().Get("topic")
	if h := t.handler.Load(); h == nil || !slices.Contains(h.Hub.Topics(), topic) {
		topic = other
	}
	t.metrics.rejected.Add(r.Context(), 1, t.metrics.topicReason(topic, refusal.Reason))
	if e, ok := r.Context().Value(establishKey{}).(*establishment); ok {
		e.refusal = refusal
	}
}

// source logs how a source or the broker does.
func (t *Telemetry) source(c stream.SourceChange) {
	what := "source"
	if c.Broker {
		what = "broker"
	}
	log := func(level slog.Level, message string, attrs ...slog.Attr) {
		attrs = append([]slog.Attr{slog.String("topic", c.Topic)}, attrs...)
		t.logger().LogAttrs(context.Background(), level, message, attrs...)
	}
	switch c.State {
	case stream.SourceStarting:
		log(slog.LevelDebug, what+" starting")
	case stream.SourceUp:
		log(slog.LevelInfo, what+" up")
	case stream.SourceFailing:
		log(slog.LevelWarn, what+" failed", slog.Int("failures", c.Failures), slog.Any("error", c.Err))
	case stream.SourceDown:
		log(slog.LevelError, what+" down", slog.Int("failures", c.Failures), slog.Any("error", c.Err))
	case stream.SourceEnded:
		log(slog.LevelInfo, what+" ended")
	}
}
