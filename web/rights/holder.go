package rights

import (
	"slices"
	"time"
)

// An Action is what a right is for.
type Action string

// The actions.
const (
	Subscribe Action = "subscribe"
	Publish   Action = "publish"
)

// A Holder is somebody who has shown a right, or, where none is needed,
// anybody.
type Holder struct {
	// Identity tells operators who it is: the name of a token (never the
	// token), or the subject of a JSON Web Token. Anybody has none.
	Identity string
	// Expires is when the right ends by itself. Zero: never.
	Expires time.Time

	grants map[Action]grants
}

// Anybody is the holder where no right is needed for the action.
func Anybody(action Action) *Holder {
	return &Holder{grants: map[Action]grants{action: {{Any, Any}}}}
}

// May reports whether the action is allowed on the topic, or on some of its
// subjects.
func (h *Holder) May(action Action, topic string) bool { return h.grants[action].may(topic) }

// has reports whether the action is allowed on any topic at all.
func (h *Holder) has(action Action) bool { return len(h.grants[action]) > 0 }

// MayAll reports whether the action is allowed on every topic.
func (h *Holder) MayAll(action Action) bool {
	return slices.Contains(h.grants[action], Grant{Any, Any})
}

// Subjects returns the patterns of the topic's subjects on which the action is
// allowed. All is true when the topic is allowed whole.
func (h *Holder) Subjects(action Action, topic string) (patterns []Pattern, all bool) {
	return h.grants[action].subjects(topic)
}

// MaySubject reports whether the action is allowed on a subject of the topic,
// or on all that a pattern of subjects matches. An event without a subject has
// the subject "".
func (h *Holder) MaySubject(action Action, topic, subject string) bool {
	patterns, all := h.Subjects(action, topic)
	return all || slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Covers(Pattern(subject)) })
}

// MayAllOf reports whether the action is allowed on all of some subjects of the
// topic; none stand for the whole topic.
func (h *Holder) MayAllOf(action Action, topic string, subjects []string) bool {
	if _, all := h.Subjects(action, topic); all {
		return true
	}
	return len(subjects) > 0 && !slices.ContainsFunc(subjects, func(subject string) bool { return !h.MaySubject(action, topic, subject) })
}

// Grants returns what is allowed, as text, for who wants to know what a
// credential is good for.
func (h *Holder) Grants(action Action) []string {
	texts := []string{}
	for _, g := range h.grants[action] {
		text := string(g.Topic)
		if g.Subject != Any {
			text += "/" + string(g.Subject)
		}
		texts = append(texts, text)
	}
	return texts
}
