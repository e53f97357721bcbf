package telemetry

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"weir/stream"
	"weir/telemetry/journey"
)

// LatencyBounds are the boundaries of sse.server.delivery.duration.
var LatencyBounds = newLayout(deliveryBounds, false).times

// A Tally has the counts of one shard.
type Tally = tally

// NewTally returns a tally of deliveries.
func NewTally() *Tally { return newTally(newLayout(deliveryBounds, false)) }

// Deliver counts a delivery.
func Deliver(t *Tally, f *stream.Flush) time.Duration { return t.deliver(f) }

// Sums are what a tally has counted.
type Sums struct {
	Events, Replayed, Bytes int64
	Latency                 time.Duration
	Buckets                 []uint64
}

// Total returns what a tally has counted.
func Total(t *Tally) Sums {
	t.settle()
	s := Sums{Replayed: t.replayed, Bytes: t.bytes, Latency: t.sum, Buckets: t.buckets}
	for _, n := range t.buckets {
		s.Events += int64(n)
	}
	return s
}

// Bounded are the values that the attributes of metrics can have.
func Bounded() map[string][]string {
	closes, states := []string{}, []string{}
	for _, r := range stream.CloseReasons {
		closes = append(closes, string(r))
	}
	for _, s := range sourceStates {
		states = append(states, string(s))
	}
	return map[string][]string{
		string(keyGapReason): gapReasons, string(keyDropReason): dropReasons, string(keyReportReason): reportReasons,
		string(keyCloseReason): closes, string(keySourceState): states,
	}
}

// The schemas by which the names are to be read.
const (
	SchemaURL      = schemaURL
	ConventionsURL = semconv.SchemaURL
)

// TerminalHandler is the handler for a terminal.
var TerminalHandler = newTextHandler

// LimitJourneys replaces the store of recent traces by a smaller one.
func (t *Telemetry) LimitJourneys(traces, bytes int) {
	t.rec.journeys = journey.NewStore(t.intake.node, traces, bytes)
}

// AsExported is the producer as an exporter gets it that asks by the environment,
// with delta temporality.
func AsExported(p sdkmetric.Producer) sdkmetric.Producer {
	from := p.(*producer)
	return newProducer(from.topics, from.version, true, wantsExponential())
}

// FlushHook is what a stream's deliveries call.
func FlushHook(t *Telemetry, topic string) func(*stream.Flush) {
	c := &connection{live: true, late: t.streams.late, log: t.streams.log}
	c.trace.conn, c.trace.topic = &stream.Conn{Topic: topic, Label: topic}, t.topics.topic(topic)
	return c.flush
}

// RespelledReasons are what telemetry calls what package stream has no exported
// constants for.
var RespelledReasons = []stream.CloseReason{closeReset, closeVanished, closeError}

// ErrorType is the error.type of a connection that ended for a reason.
var ErrorType = errorType

// LogNames are the names of the registry that log records have over OTLP.
func LogNames() []string {
	names := slices.Collect(maps.Values(logNames))
	for _, r := range reasonNames {
		names = append(names, r.name)
	}
	return names
}

// Registered is what log records go through on their way to OTLP.
func Registered(h slog.Handler) slog.Handler { return registered{Handler: h} }
