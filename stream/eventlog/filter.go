package eventlog

import (
	"errors"
	"fmt"
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
		return fmt.Errorf("%w: a %s has %d bytes at most, not %d", ErrBadName, what, most, len(name))
	case name[0] == '$':
		return fmt.Errorf("%w: a %s does not begin with $", ErrBadName, what)
	case name == ".", name == "..":
		return fmt.Errorf("%w: a %s is neither . nor .., which a URL cannot hold", ErrBadName, what)
	}
	for i, r := range name {
		if !nameByte(name[i]) {
			return fmt.Errorf("%w: %s %.80q has %q in it; the letters a to z and A to Z, digits and -._~!$&'()+;:@ are allowed", ErrBadName, what, name, r)
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

// Match reports whether the filter, in the form of ParseFilter, lets a subject
// through. It looks up the subject and each of its prefixes: what that costs hardly
// depends on how many patterns there are.
func (f Filter) Match(subject string) bool {
	if len(f) == 0 {
		return true
	}
	if _, is := slices.BinarySearch(f, subject); is {
		return true
	}
	for i := range len(subject) {
		if subject[i] == '.' && i+1 < len(subject) {
			if _, is := slices.BinarySearch(f, subject[:i+1]+"*"); is {
				return true
			}
		}
	}
	return false
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

// String returns the patterns, joined: it is the same for the same filter alone.
func (f Filter) String() string { return strings.Join(f, ",") }
