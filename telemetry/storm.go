package telemetry

import (
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
	mu    sync.Mutex
	kinds map[string]*squall
}

// A squall is the present second of a kind.
type squall struct{ lines, more int }

// pass reports whether a record is to be written. When the second is over, tell is
// called with the number of those that were not.
func (s *storm) pass(kind string, tell func(more int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = make(map[string]*squall)
	}
	q := s.kinds[kind]
	if q == nil {
		q = &squall{}
		s.kinds[kind] = q
		time.AfterFunc(stormEvery, func() { s.over(kind, tell) })
	}
	if q.lines < stormLines {
		q.lines++
		return true
	}
	q.more++
	return false
}

func (s *storm) over(kind string, tell func(more int)) {
	s.mu.Lock()
	more := s.kinds[kind].more
	delete(s.kinds, kind)
	s.mu.Unlock()
	if more > 0 {
		tell(more)
	}
}
