package rights

import (
	"fmt"
	"slices"
	"strings"

	"weir/stream"
)

// A Grant allows one action on the topics, and on the subjects within them,
// that two patterns match. Its text is the topic's pattern, optionally followed
// by "/" and the subject's: "user.42", "orders/eu.*", "run.*", "*".
type Grant struct {
	Topic   Pattern
	Subject Pattern // "*" where the text names none
}

// ParseGrant reads the text of a grant.
func ParseGrant(text string) (Grant, error) {
	topic, subject, found := strings.Cut(text, "/")
	if !found {
		subject = string(Any)
	}
	g := Grant{Pattern(topic), Pattern(subject)}
	if !g.Topic.valid(stream.ValidTopic) {
		return g, fmt.Errorf("bad topic %.80q: want a topic, a pattern such as run.*, or *", topic)
	}
	if !g.Subject.valid(validSubject) {
		return g, fmt.Errorf("bad subject %.80q: want a subject, a pattern such as eu.*, or *", subject)
	}
	return g, nil
}

// A Pattern is a name, or a name that ends in ".*" and stands for every name
// below it, or "*", which stands for every name.
type Pattern string

// Any matches every name, the empty one included.
const Any Pattern = "*"

func (p Pattern) valid(name func(string) bool) bool {
	return p == Any || name(strings.TrimSuffix(string(p), ".*")) && !strings.HasSuffix(string(p), "..*")
}

// Covers reports whether everything that q matches is matched by p as well. A
// name is a pattern that matches itself alone.
func (p Pattern) Covers(q Pattern) bool {
	if p == Any || p == q {
		return true
	}
	above, wild := strings.CutSuffix(string(p), "*") // "run." of "run.*"
	return wild && q != Any && strings.HasPrefix(string(q), above) && len(q) > len(above)
}

// validSubject reports whether s may be a subject of an event: 1 to 256 bytes
// of what a URL's path segment may hold unescaped.
func validSubject(s string) bool {
	if s == "" || len(s) > 256 || s[0] == '$' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case strings.IndexByte("-._~!$&'()+,;=:@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// grants are what one credential allows, for one action.
type grants []Grant

// may reports whether anything of the topic is allowed.
func (g grants) may(topic string) bool {
	return slices.ContainsFunc(g, func(one Grant) bool { return one.Topic.Covers(Pattern(topic)) })
}

// subjects returns the patterns of the subjects that are allowed within the
// topic. All is true when none is excluded.
func (g grants) subjects(topic string) (patterns []Pattern, all bool) {
	for _, one := range g {
		if one.Topic.Covers(Pattern(topic)) {
			if one.Subject == Any {
				return nil, true
			}
			if !slices.Contains(patterns, one.Subject) {
				patterns = append(patterns, one.Subject)
			}
		}
	}
	return patterns, false
}
