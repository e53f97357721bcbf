//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A published event has been acknowledged: every client must have it.
type published struct {
	id, name, text string
	at             time.Time // of the acknowledgement
}

// orderEvent is the name of those events that have one of their own.
const orderEvent = "order"

// A law is what a row demands of every client, beside every event once, in order,
// with its text.
type law struct {
	gap   bool          // a gap is told once, and the events in it may be missing
	ended bool          // the end is told, and nobody asks again
	away  time.Duration // no event comes later than this; 0: does not matter
}

// judge returns what is wrong with what a client saw.
func (l law) judge(all []published, sights []sight, html bool) (problems []string) {
	var events, gaps []sight
	closes := 0
	for _, s := range sights {
		switch {
		case s.Kind != "event":
		case s.Event == "message", s.Event == orderEvent:
			events = append(events, s)
		case s.Event == "gap":
			gaps = append(gaps, s)
		case s.Event == "close":
			closes++
		}
	}
	at := map[string]int{}
	for i, p := range all {
		at[p.id] = i
	}
	seen := map[string]bool{}
	var stray, repeated, disorder, garbled int
	last, example := -1, ""
	for _, e := range events {
		i, known := at[e.ID]
		switch {
		case !known || e.Data == "" && all[i].text != "":
			stray++
			continue
		case seen[e.ID]:
			repeated++
			continue
		case i < last:
			disorder++
		case html && !strings.Contains(squeeze(e.Data), squeeze(shown(all[i].text))),
			!html && e.Data != lineEnds.Replace(all[i].text),
			!html && e.Event != all[i].name:
			if garbled++; garbled == 1 {
				example = fmt.Sprintf(" (such as the %s %.60q, which came as the %s %.90q)", all[i].name, all[i].text, e.Event, e.Data)
			}
		}
		seen[e.ID] = true
		last = max(last, i)
	}
	missing := 0
	for _, p := range all {
		if !seen[p.id] && !covered(p.id, gaps) {
			missing++
		}
	}
	count := func(n int, what string) {
		if n > 0 {
			problems = append(problems, fmt.Sprintf("%d %s", n, what))
		}
	}
	count(missing, "lost")
	count(repeated, "repeated")
	count(disorder, "out of order")
	count(garbled, "garbled"+example)
	count(stray, "empty or stray messages")
	switch {
	case l.gap && len(gaps) != 1:
		problems = append(problems, fmt.Sprintf("gap told %d times", len(gaps)))
	case !l.gap && len(gaps) > 0:
		problems = append(problems, fmt.Sprintf("gap told %d times, but there was none", len(gaps)))
	}
	if l.ended && closes != 1 {
		problems = append(problems, fmt.Sprintf("close told %d times", closes))
	}
	if l.away > 0 {
		var longest time.Duration
		for _, e := range events {
			if i, known := at[e.ID]; known {
				longest = max(longest, e.at.Sub(all[i].at))
			}
		}
		if longest > l.away {
			problems = append(problems, fmt.Sprintf("away for %.1f s", longest.Seconds()))
		}
	}
	return problems
}

// payloads takes the payloads out of the CloudEvents of format json.
func payloads(sights []sight) []sight {
	all := make([]sight, len(sights))
	for i, s := range sights {
		var event struct{ Data *string }
		if (s.Event == "message" || s.Event == orderEvent) && json.Unmarshal([]byte(s.Data), &event) == nil && event.Data != nil {
			s.Data = lineEnds.Replace(*event.Data)
		}
		all[i] = s
	}
	return all
}

// lineEnds is what becomes of the line ends of an event on the wire.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// blanks are what HTML does not tell apart, and what it cannot hold.
var blanks = regexp.MustCompile(`[\s\x00-\x20\x7F\x{FFFD}\x{FEFF}\x{FFFE}\x{0085}\x{2028}\x{2029}\x{2400}-\x{2421}]+`)

func squeeze(s string) string { return blanks.ReplaceAllString(s, "") }

// shown is what a row of HTML shows of a text for certain: not the colours of a
// terminal, nor all of it when it is long.
func shown(s string) string { return colours.ReplaceAllString(s[:min(len(s), 1000)], "") }

var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// covered reports whether a gap tells that the event is lost.
func covered(id string, gaps []sight) bool {
	for _, g := range gaps {
		var gap struct{ From, To string }
		if json.Unmarshal([]byte(g.Data), &gap) == nil && before(gap.From, id) && !before(gap.To, id) {
			return true
		}
	}
	return false
}

// before compares two IDs.
func before(a, b string) bool {
	var am, as, bm, bs uint64
	_, _ = fmt.Sscanf(a, "%d-%d", &am, &as)
	_, _ = fmt.Sscanf(b, "%d-%d", &bm, &bs)
	return am < bm || am == bm && as < bs
}
