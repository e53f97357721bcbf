package telemetry

import (
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Reasons why there is no journey.
var (
	// ErrBadTraceID marks text that is no trace ID.
	ErrBadTraceID = errors.New("not a trace ID of 32 hexadecimal digits")
	// ErrEvicted marks a trace that was held, and made room for later ones.
	ErrEvicted = errors.New("the trace is no longer held: later events have taken its place")
	// ErrUnknownTrace marks a trace that has never been held: its event was not
	// sampled, or neither published nor delivered by this process.
	ErrUnknownTrace = errors.New("the event was not sampled, or this server has not seen it")
)

// A JourneyQuery names an event.
type JourneyQuery struct {
	TraceID string
	// EventID chooses, where a trace has several events. Default: the first.
	EventID string
	// StreamID prefers the delivery on one connection. Default: the delivery
	// that the browser's report fits, or the first.
	StreamID string
}

// A Journey is the way of one event, as far as it is known.
type Journey struct {
	TraceID, EventID, Topic string
	// Start is when the first step began, and Total how long until the last
	// one had ended.
	Start time.Time
	Total time.Duration
	// Steps are in order: send, broker, deliver, network, process. Those of
	// which nothing is known are left out.
	Steps []Step
}

// A Step is a span of the journey, or a gap between two: the broker, the
// network.
type Step struct {
	Name, Service string
	Kind          string // of the span: producer, internal, consumer; "" for a gap
	Start         time.Time
	Duration      time.Duration
	Gap           bool
}

// Journey returns the way of an event, from the bounded store of recent ones.
// The error is ErrBadTraceID, ErrEvicted or ErrUnknownTrace.
func (t *Telemetry) Journey(q JourneyQuery) (Journey, error) {
	id, err := trace.TraceIDFromHex(q.TraceID)
	if err != nil {
		return Journey{}, ErrBadTraceID
	}
	t.ring.mu.Lock()
	defer t.ring.mu.Unlock()
	held := t.ring.byID[id]
	if held == nil {
		if t.ring.evicted(id) {
			return Journey{}, ErrEvicted
		}
		return Journey{}, ErrUnknownTrace
	}
	for _, e := range held.events {
		if q.EventID == "" || q.EventID == e.id {
			return e.journey(q), nil
		}
	}
	return Journey{}, ErrUnknownTrace
}

func (e *ringEvent) journey(q JourneyQuery) Journey {
	j := Journey{TraceID: q.TraceID, EventID: e.id, Topic: e.topic}
	deliver, process := e.choose(q.StreamID)
	step := func(s *ringSpan) {
		j.Steps = append(j.Steps, Step{Name: s.name, Service: s.service, Kind: s.kind, Start: s.began, Duration: max(0, s.ended.Sub(s.began))})
	}
	gap := func(name string, from, to time.Time) {
		if d := to.Sub(from); d > 0 {
			j.Steps = append(j.Steps, Step{Name: name, Start: from, Duration: d, Gap: true})
		}
	}
	if e.sent != nil {
		step(e.sent)
		if !e.received.IsZero() {
			gap("broker", e.sent.ended, e.received)
		}
	}
	if deliver != nil {
		step(deliver)
	}
	if process != nil {
		if deliver != nil {
			gap("network", deliver.ended, process.began)
		}
		step(process)
	}
	var end time.Time
	for i, s := range j.Steps {
		if i == 0 || s.Start.Before(j.Start) {
			j.Start = s.Start
		}
		if to := s.Start.Add(s.Duration); to.After(end) {
			end = to
		}
	}
	if len(j.Steps) > 0 {
		j.Total = end.Sub(j.Start)
	}
	return j
}

// choose picks the delivery and the report that belong together: those of the
// stream asked for, else a report and the last delivery before it, else the
// first of each.
func (e *ringEvent) choose(stream string) (deliver, process *ringSpan) {
	of := func(spans []ringSpan) *ringSpan {
		if i := slices.IndexFunc(spans, func(s ringSpan) bool { return stream != "" && s.stream == stream }); i >= 0 {
			return &spans[i]
		}
		return nil
	}
	deliver, process = of(e.deliveries), of(e.processes)
	if process == nil && len(e.processes) > 0 {
		process = &e.processes[0]
	}
	if deliver == nil && process != nil {
		if deliver = e.deliveryOn(process.stream); deliver == nil {
			for i := range e.deliveries {
				d := &e.deliveries[i]
				if !d.ended.After(process.began) && (deliver == nil || d.ended.After(deliver.ended)) {
					deliver = d
				}
			}
		}
	}
	if deliver == nil && len(e.deliveries) > 0 {
		deliver = &e.deliveries[0]
	}
	return deliver, process
}

func (e *ringEvent) deliveryOn(stream string) *ringSpan {
	for i := range e.deliveries {
		if stream != "" && e.deliveries[i].stream == stream {
			return &e.deliveries[i]
		}
	}
	return nil
}
