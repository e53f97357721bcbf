package telemetry

import (
	"time"

	"weir/stream"
	"weir/telemetry/journey"
)

// LatencyBounds are the boundaries of sse.server.delivery.duration.
var LatencyBounds = latencyBounds[:]

// A Tally has the counts of one lane.
type Tally = tally

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
	return Sums{int64(t.latency.count()), t.replayed, t.bytes, t.latency.sum, t.latency.buckets[:]}
}

// What the tests see of the inside.
var (
	Reasons = reasons
)

// TerminalHandler is the handler for a terminal.
var TerminalHandler = newTextHandler

// LimitJourneys replaces the store of recent traces by a smaller one.
func (t *Telemetry) LimitJourneys(traces, bytes int) {
	t.journeys = journey.NewStore(t.opts.Node, traces, bytes)
}

// Reporters returns how many clients' rates are remembered.
func (t *Telemetry) Reporters() int {
	t.reports.mu.Lock()
	defer t.reports.mu.Unlock()
	return len(t.reports.byName)
}
