package telemetry

import (
	"maps"
	"sync"
	"time"
)

// How many records of one kind are written: stormLines in each stormEvery, and then
// one that counts the others.
const (
	stormLines = 20
	stormEvery = time.Second
)

// A storm sums up records that come in very large numbers, as when thousands of
// clients come at once. A kind is a message with its reason; there are few kinds.
type storm struct {
	mu     sync.Mutex
	kinds  map[string]*squall
	closed bool           // every record is written
	sums   sync.WaitGroup // the seconds that are not over
}

// A squall is the present second of a kind.
type squall struct {
	lines, more int
	over        *time.Timer
	tell        func(more int)
}

// pass reports whether a record is to be written. When the second is over, tell is
// called with the number of those that were not.
func (s *storm) pass(kind string, tell func(more int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	if s.kinds == nil {
		s.kinds = make(map[string]*squall)
	}
	q := s.kinds[kind]
	if q == nil {
		q = &squall{tell: tell}
		s.kinds[kind] = q
		s.sums.Add(1)
		q.over = time.AfterFunc(stormEvery, func() { s.over(kind, q) })
	}
	if q.lines < stormLines {
		q.lines++
		return true
	}
	q.more++
	return false
}

func (s *storm) over(kind string, q *squall) {
	defer s.sums.Done()
	s.mu.Lock()
	more := q.more
	delete(s.kinds, kind)
	s.mu.Unlock()
	if more > 0 {
		q.tell(more)
	}
}

// close ends the seconds at once. When it returns, nothing is told any more.
func (s *storm) close() {
	s.mu.Lock()
	s.closed = true
	kinds := maps.Clone(s.kinds)
	s.mu.Unlock()
	for kind, q := range kinds {
		if q.over.Stop() {
			s.over(kind, q)
		}
	}
	s.sums.Wait()
}
