package journey

import (
	"slices"
	"time"
)

// An end is where the way of an event to one reader ends, as far as it is known.
type end struct {
	of         *record
	kind       StepKind
	ended      time.Time
	connection string // "": no reader is known
}

func (e end) total() time.Duration { return max(0, e.ended.Sub(e.of.start())) }

// until returns where the way to a reader ends: on its screen or in its page, or else at the flush, or
// else in the log. Either may be nil.
func (r *record) until(deliver *Delivery, report *Report) end {
	switch {
	case report != nil && report.Unseen:
		return end{r, Arrive, report.Received, report.Connection}
	case report != nil:
		return end{r, Process, report.Shown, report.Connection}
	case deliver != nil:
		return end{r, Deliver, deliver.Ended, deliver.Connection}
	case !r.receive.IsZero():
		return end{r, Receive, r.receive.Ended, ""}
	case !r.send.IsZero():
		return end{r, Send, r.send.Ended, ""}
	default:
		return end{r, Send, r.start(), ""}
	}
}

// last returns the end of the way to the slowest reader that is known, but for some.
// Replays do not count: they are to readers that came later. The caller holds s.mu.
func (s *Store) last(r *record, but ...string) end {
	last := r.until(nil, nil)
	later := func(e end) {
		if last.connection == "" || e.ended.After(last.ended) {
			last = e
		}
	}
	for i := range r.deliveries {
		d := &r.deliveries[i]
		if d.Replay || d.Connection == "" || slices.Contains(but, d.Connection) {
			continue
		}
		report := r.report(d.Connection)
		if report == nil && r.told > len(r.reports) { // it may be one that is not kept here
			_, report, _ = s.readers.find(d.Connection, r.ref)
		}
		later(r.until(d, report))
	}
	for i := range r.reports {
		p := &r.reports[i]
		if p.Connection != "" && !slices.Contains(but, p.Connection) && !s.replayed(r, p.Connection) {
			later(r.until(nil, p))
		}
	}
	return last
}

// replayed reports whether a reader is known to have come after the event. What is kept
// with the event says so first: a reader remembers only its last deliveries. The caller
// holds s.mu.
func (s *Store) replayed(r *record, connection string) bool {
	if p := r.report(connection); p != nil && !p.Opened.IsZero() {
		return true
	}
	if i := slices.IndexFunc(r.deliveries, func(d Delivery) bool { return d.Connection == connection }); i >= 0 {
		return r.deliveries[i].Replay
	}
	d, _, _ := s.readers.find(connection, r.ref)
	return d.Replay
}

// report returns what a page told, if that is kept with the event, or nil.
func (r *record) report(connection string) *Report {
	for i := range r.reports {
		if r.reports[i].Connection == connection {
			return &r.reports[i]
		}
	}
	return nil
}
