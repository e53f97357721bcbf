package eventlog

import (
	"iter"
	"slices"
	"strings"
)

// maxIdle is how many views without readers a log keeps. Their readers come
// back soon, as a rule, and a view that is there need not be made.
const maxIdle = 64

// views are the views of a log by subject. The caller of the methods holds the
// log's mu.
type views struct {
	all       map[string]*View   // by the filter's key
	bySubject map[string][]*View // with the subject as a pattern
	byPrefix  map[string][]*View // with the prefix, its dot included, as a pattern
	idle      []*View            // without readers, for the longest first
	round     uint64             // of looking for the views of an entry
}

func (s *views) put(v *View) {
	if s.all == nil {
		s.all, s.bySubject, s.byPrefix = make(map[string]*View), make(map[string][]*View), make(map[string][]*View)
	}
	s.all[v.filter.String()] = v
	for _, p := range v.filter {
		m, key := s.place(p)
		m[key] = append(m[key], v)
	}
}

func (s *views) remove(v *View) {
	delete(s.all, v.filter.String())
	for _, p := range v.filter {
		m, key := s.place(p)
		if m[key] = slices.DeleteFunc(m[key], func(o *View) bool { return o == v }); len(m[key]) == 0 {
			delete(m, key)
		}
	}
}

// place says where the views with a pattern are found.
func (s *views) place(pattern string) (m map[string][]*View, key string) {
	if prefix, is := strings.CutSuffix(pattern, ".*"); is {
		return s.byPrefix, prefix + "."
	}
	return s.bySubject, pattern
}

// of returns the views that an entry belongs to, each once. It looks up the
// subject and each of its prefixes: what an entry costs does not depend on how
// many other views there are.
func (s *views) of(e *Entry) iter.Seq[*View] {
	return func(yield func(*View) bool) {
		if len(s.all) == 0 {
			return
		}
		if e.Event == nil {
			for _, v := range s.all {
				if !yield(v) {
					return
				}
			}
			return
		}
		subject := e.Event.Subject
		s.round++
		round := s.round
		visit := func(found []*View) bool {
			for _, v := range found {
				if v.round == round {
					continue // by another of its patterns
				}
				v.round = round
				if !yield(v) {
					return false
				}
			}
			return true
		}
		if !visit(s.bySubject[subject]) {
			return
		}
		for i := range len(subject) {
			if subject[i] == '.' && i+1 < len(subject) && !visit(s.byPrefix[subject[:i+1]]) {
				return
			}
		}
	}
}
