package journey

import (
	"cmp"
	"slices"
	"time"
)

// MaxList is how many events a list has at most.
const MaxList = 200

// A ListQuery says which events are listed.
type ListQuery struct {
	// Topic is the events' topic. Default: any.
	Topic string
	// Min is the least time that an event took.
	Min time.Duration
	// May says whether who asks may know of events about a subject of a topic.
	// Default: of all.
	May func(topic, subject string) bool
	// Limit is how many events there are at most, of those that May lets through.
	// Default, and at most: MaxList.
	Limit int
}

// A Summary is an event in a list: how long it took until its last known step.
type Summary struct {
	Event
	Ref   Ref
	Start time.Time
	Total time.Duration
	// Last is the last step that is known.
	Last StepKind
	// Awaited says that the reader that was last has a page, which has not reported that
	// the event was on its screen.
	Awaited bool
	// Readers is how many readers are known.
	Readers int
	// Steps are those of the reader that was last.
	Steps []Step
}

// Recent returns the events that were published last, the newest first.
func (s *Store) Recent(q ListQuery) []Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.summarize(s.list(q, q.limit()))
}

// Slowest returns the events that took longest, of those that are held.
func (s *Store) Slowest(q ListQuery) []Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.list(q, int(^uint(0)>>1))
	slices.SortStableFunc(all, func(a, b end) int { return cmp.Compare(b.total(), a.total()) })
	return s.summarize(all[:min(len(all), q.limit())])
}

func (q ListQuery) limit() int {
	if q.Limit <= 0 || q.Limit > MaxList {
		return MaxList
	}
	return q.Limit
}

// of reports whether an event may be in the list, however long it took.
func (q ListQuery) of(r *record) bool {
	return (q.Topic == "" || q.Topic == r.Topic) && (q.May == nil || q.May(r.Topic, r.Subject))
}

// HeldOf returns how many traces are held that have an event of which who asks may
// know.
func (s *Store) HeldOf(may func(topic, subject string) bool) (traces int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := ListQuery{May: may}
	for _, t := range s.byID {
		if slices.ContainsFunc(t.events, q.of) {
			traces++
		}
	}
	return traces
}

// An end is the last thing that is known of an event.
type end struct {
	of         *record
	kind       StepKind
	ended      time.Time
	connection string
}

func (e end) total() time.Duration { return max(0, e.ended.Sub(e.of.start())) }

// list returns up to limit events that match q, the newest first. The caller holds
// s.mu.
func (s *Store) list(q ListQuery, limit int) (list []end) {
	for i := len(s.order) - 1; i >= s.head; i-- {
		events := s.order[i].events
		for k := len(events) - 1; k >= 0 && len(list) < limit; k-- {
			if r := events[k]; q.of(r) {
				if last := s.last(r); last.total() >= q.Min {
					list = append(list, last)
				}
			}
		}
	}
	return list
}

// last returns the last known step of an event. Replays do not count: they are to
// readers that came later.
func (s *Store) last(r *record) end {
	last := end{r, Send, r.start(), ""}
	later := func(kind StepKind, at time.Time, connection string) {
		if !at.Before(last.ended) {
			last = end{r, kind, at, connection}
		}
	}
	if !r.send.IsZero() {
		later(Send, r.send.Ended, "")
	}
	if !r.receive.IsZero() {
		later(Receive, r.receive.Ended, "")
	}
	for i := range r.deliveries {
		if d := &r.deliveries[i]; !d.Replay {
			later(Deliver, d.Ended, d.Connection)
		}
	}
	for i := range r.reports {
		p := &r.reports[i]
		if d, _, ok := s.readers.find(p.Connection, r.ref); !ok || !d.Replay {
			later(Process, p.Shown, p.Connection)
		}
	}
	return last
}

// summarize tells of events. The caller holds s.mu.
func (s *Store) summarize(ends []end) []Summary {
	list := make([]Summary, 0, len(ends))
	for _, last := range ends {
		r := last.of
		j := s.tell(r, last.connection)
		sum := Summary{Event: r.Event, Ref: r.ref, Start: r.start(), Total: last.total(), Last: last.kind, Awaited: last.kind == Deliver && j.Awaited, Readers: len(j.Others), Steps: j.Steps}
		if j.Connection != "" {
			sum.Readers++
		}
		list = append(list, sum)
	}
	return list
}
