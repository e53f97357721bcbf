package rights

import (
	"fmt"
	"slices"
	"strings"

	"weir/stream/eventlog"
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
	if err := g.Topic.check(eventlog.CheckTopic); err != nil {
		return g, fmt.Errorf("bad topic %.80q (want a topic, a pattern such as run.*, or *): %w", topic, err)
	}
	if err := g.Subject.check(eventlog.CheckSubject); err != nil {
		return g, fmt.Errorf("bad subject %.80q (want a subject, a pattern such as eu.*, or *): %w", subject, err)
	}
	return g, nil
}

// A Pattern is a name, or a name that ends in ".*" and stands for every name
// below it, or "*", which stands for every name.
type Pattern string

// ParsePattern reads a pattern of topics.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern(text)
	if err := p.check(eventlog.CheckTopic); err != nil {
		return p, fmt.Errorf("bad pattern %.80q (want a topic, a pattern such as run.*, or *): %w", text, err)
	}
	return p, nil
}

// Any matches every name, the empty one included.
const Any Pattern = "*"

func (p Pattern) check(name func(string) error) error {
	if p == Any {
		return nil
	}
	return name(strings.TrimSuffix(string(p), ".*"))
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
