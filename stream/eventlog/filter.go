package eventlog

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// ErrBadName marks, by errors.Is, what cannot name a topic or a subject.
var ErrBadName = errors.New("not a valid name")

// Limits of names, in bytes.
const (
	MaxTopic   = 128
	MaxSubject = 256
)

// CheckTopic reports, wrapping ErrBadName, why a text cannot name a topic. A
// topic is named by 1 to 128 bytes that may stand in a segment of a URL's path
// (RFC 3986, pchar, unescaped) but the comma, the star and the equals sign; it
// does not begin with a dollar sign and is neither "." nor "..".
func CheckTopic(name string) error { return checkName("topic", name, MaxTopic) }

// CheckSubject is CheckTopic for what can be filtered by: up to 256 bytes.
func CheckSubject(name string) error { return checkName("subject", name, MaxSubject) }

func checkName(what, name string, most int) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the %s is empty", ErrBadName, what)
	case len(name) > most:
		return fmt.Errorf("%w: a %s has %d bytes at most", ErrBadName, what, most)
	case name[0] == '$':
		return fmt.Errorf("%w: a %s does not begin with $", ErrBadName, what)
	case name == ".", name == "..":
		return fmt.Errorf("%w: %s cannot stand in a URL", ErrBadName, name)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			return fmt.Errorf("%w: %s %.80q has %q in it; letters, digits and -._~!$&'()+;:@ are allowed", ErrBadName, what, name, name[i])
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()+;:@", c) >= 0
}

// A Filter chooses events by subject: those that match one of its patterns. A
// pattern is a subject, or a prefix that ends in ".*", which matches every
// subject below it. The empty filter matches everything.
type Filter []string

// ParseFilter returns the filter of some patterns in its one form: sorted,
// none twice. The pattern "*" matches everything, and so do no patterns. The
// error wraps ErrBadName.
func ParseFilter(patterns []string) (Filter, error) {
	var f Filter
	for _, p := range patterns {
		if p == "*" {
			continue
		}
		if err := CheckSubject(strings.TrimSuffix(p, ".*")); err != nil {
			return nil, err
		}
		f = append(f, p)
	}
	if slices.Contains(patterns, "*") {
		return nil, nil
	}
	slices.Sort(f)
	return slices.Compact(f), nil
}

// Match reports whether the filter lets a subject through.
func (f Filter) Match(subject string) bool {
	return len(f) == 0 || slices.ContainsFunc(f, func(p string) bool { return MatchPattern(p, subject) })
}

// MatchPattern reports whether one pattern matches a name: the name itself, a
// prefix that ends in ".*", or "*".
func MatchPattern(pattern, name string) bool {
	if pattern == "*" || pattern == name {
		return true
	}
	prefix, is := strings.CutSuffix(pattern, "*")
	return is && strings.HasSuffix(prefix, ".") && len(name) > len(prefix) && strings.HasPrefix(name, prefix)
}

func (f Filter) key() string { return strings.Join(f, ",") }

// maxIdle is how many views without readers a log keeps. Their readers come
// back soon, as a rule, and a view that is there need not be made.
const maxIdle = 1024

// views are the views of a log by subject. The caller of the methods holds the
// log's mu.
type views struct {
	all       map[string]*View   // by the filter's key
	bySubject map[string][]*View // with the subject as a pattern
	byPrefix  map[string][]*View // with the prefix, its dot included, as a pattern
	idle      []*View            // without readers, for the longest first
}

// View returns the view of what a filter lets through, and counts a reader in.
func (l *Log) View(f Filter) *View {
	if len(f) == 0 {
		return &l.all
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views.all[f.key()]
	if v == nil {
		v = &View{log: l, filter: f}
		v.floor, v.why = l.evicted.floor(f)
		v.fill()
		l.views.put(v)
	}
	if v.readers++; v.readers == 1 {
		l.views.idle = slices.DeleteFunc(l.views.idle, func(o *View) bool { return o == v })
	}
	return v
}

// Leave counts a reader out.
func (v *View) Leave() {
	if v.filter == nil {
		return
	}
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	s := &v.log.views
	if v.readers--; v.readers > 0 {
		return
	}
	if s.idle = append(s.idle, v); len(s.idle) > maxIdle {
		s.remove(s.idle[0])
		s.idle = s.idle[1:]
	}
}

// fill takes over what the log holds.
func (v *View) fill() {
	l := v.log
	for i := l.all.tail; i < l.all.head; i++ {
		if e := l.all.at(i); e.Event == nil || v.filter.Match(e.Event.Subject) {
			v.push(e)
		}
	}
}

func (s *views) put(v *View) {
	if s.all == nil {
		s.all, s.bySubject, s.byPrefix = make(map[string]*View), make(map[string][]*View), make(map[string][]*View)
	}
	s.all[v.filter.key()] = v
	for _, p := range v.filter {
		m, key := s.place(p)
		m[key] = append(m[key], v)
	}
}

func (s *views) remove(v *View) {
	delete(s.all, v.filter.key())
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
		var several []*View // with several patterns: one might be found twice
		visit := func(found []*View) bool {
			for _, v := range found {
				if len(v.filter) > 1 {
					if slices.Contains(several, v) {
						continue
					}
					several = append(several, v)
				}
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
