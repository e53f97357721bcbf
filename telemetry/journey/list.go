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

// A Summary is an event in a list: its journey to the slowest reader that is known,
// as [Store.Journey] tells it where no reader is asked for.
type Summary struct {
	Journey
	// Last is as [Journey.Last].
	Last StepKind
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

// list returns up to limit events that match q, the newest first. They are held in the
// order in which they became known, which is another one: of an event that was not
// sampled when it was published, a reader that gets it late is the first sign. The
// caller holds s.mu.
func (s *Store) list(q ListQuery, limit int) (list []end) {
	var all []*record
	for i := len(s.order) - 1; i >= s.head; i-- {
		for _, r := range slices.Backward(s.order[i].events) {
			if q.of(r) {
				all = append(all, r)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *record) int { return b.start().Compare(a.start()) })
	for _, r := range all {
		if len(list) >= limit {
			break
		}
		if last := s.last(r); last.total() >= q.Min {
			list = append(list, last)
		}
	}
	return list
}

// summarize tells of events. The caller holds s.mu.
func (s *Store) summarize(ends []end) []Summary {
	list := make([]Summary, 0, len(ends))
	for _, last := range ends {
		j := s.tell(last.of, "", nil)
		list = append(list, Summary{j, j.Last()})
	}
	return list
}
