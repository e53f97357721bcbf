package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"weir/stream/eventlog"
)

// gapOf returns the gap that a cursor is told first, or nil.
func gapOf(c *eventlog.Cursor) *eventlog.Gap {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Next(ctx)
	var gap *eventlog.Gap
	errors.As(err, &gap)
	return gap
}

// A reader of a quiet subject comes back when the log has long gone on, and when so
// many other subjects were read meanwhile that nothing is left of its view. Nothing
// of its own is lost, and it is told no gap; the reader that has lost something is.
func TestQuietViewIsToldNoFalseGap(t *testing.T) {
	l := eventlog.New(eventlog.Options{History: 16})
	last := about(t, l, "quiet", "busy", "below.x")
	read := func(pattern string) *eventlog.View { return l.View(filter(t, pattern)) }
	for _, pattern := range []string{"quiet", "quiet.*", "busy", "never"} {
		read(pattern).Leave()
	}
	for i := range 3000 {
		read(fmt.Sprintf("other%d", i)).Leave()
	}
	for range 10 {
		about(t, l, "busy", "us", "eu", "below.y")
	}
	for _, tc := range []struct {
		patterns []string
		from     eventlog.ID
		lost     bool
	}{
		{[]string{"quiet"}, last[0], false},
		{[]string{"quiet.*"}, last[0], false},
		{[]string{"never"}, last[0], false},
		{[]string{"never.*", "quiet"}, last[0], false},
		{[]string{"busy"}, last[1], true},
		{[]string{"quiet", "busy"}, last[1], true},
		{[]string{"below.x"}, last[2], false},
		{[]string{"below.*"}, last[2], true},
		{[]string{"quiet"}, eventlog.ID{Milli: last[0].Milli - 1}, true}, // from before the log
	} {
		v := l.View(filter(t, tc.patterns...))
		if gap := gapOf(v.From(tc.from)); (gap != nil) != tc.lost {
			t.Errorf("a reader of %v behind %s is told %v, lost something: %v", tc.patterns, tc.from, gap, tc.lost)
		}
		v.Leave()
	}
}

// What is told to those who are connected is nothing that a reader can lose.
func TestAnnouncementsAreNoLoss(t *testing.T) {
	l := eventlog.New(eventlog.Options{History: 8})
	v := l.View(filter(t, "quiet"))
	last := about(t, l, "quiet", "busy")
	l.Announce("stream-error", []byte("{}"), false)
	for range 20 {
		about(t, l, "busy")
	}
	if gap := gapOf(v.From(last[0])); gap != nil {
		t.Errorf("told %v", gap)
	}
}

// What a log remembers is bounded: behind what it has forgotten it tells a gap,
// since it cannot know, and before that it does not.
func TestWhatIsForgottenIsTold(t *testing.T) {
	const history, subjects = 16, 5000
	l := eventlog.New(eventlog.Options{History: history})
	first := about(t, l, "quiet")[0]
	var ids []eventlog.ID
	for i := range subjects {
		ids = append(ids, about(t, l, fmt.Sprintf("s%d", i))...)
	}
	quiet := l.View(filter(t, "quiet"))
	if gap := gapOf(quiet.From(first)); gap == nil {
		t.Error("the log says that it knows what it has forgotten")
	}
	if gap := gapOf(quiet.From(ids[subjects/2])); gap != nil {
		t.Errorf("what is not forgotten: %v", gap)
	}
	if gap := gapOf(l.View(filter(t, "s4000")).From(ids[3999])); gap == nil || gap.To != ids[4000] {
		t.Errorf("an event that was lost: %v, want a gap up to %s", gap, ids[4000])
	}
}
