//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"weir/stream"
)

// maxNamed is how many events that are lost or repeated are named.
const maxNamed = 10

// report prints the table, and returns an error when something is wrong.
func (s *soak) report(marker stream.ID) error {
	facts := s.ledger.facts()
	sums := s.ledger.sums()
	doubles := s.ledger.doubles()
	named := doubles
	lost, repeated, covered, delivered := 0, len(doubles), 0, 0
	gaps := map[string]int{}
	for _, a := range s.accounts {
		var owed stream.ID
		if strings.HasPrefix(a.name, "steady") || strings.HasPrefix(a.name, "slow") {
			owed = marker
		}
		v := a.audit(facts, owed)
		delivered += v.delivered
		repeated += len(v.repeated)
		covered += v.covered
		lost += len(v.lost)
		named = append(named, v.repeated...)
		for _, g := range v.gaps {
			gaps[g.reason]++
		}
		for _, n := range v.lost {
			named = append(named, fmt.Sprintf("%s never received number %d, which is %s", a.name, n, s.ledger.idOf(n)))
		}
	}

	fmt.Fprintf(s.out, "\nSoak of %v, %v in all\n\n", s.length, time.Since(s.began).Round(time.Second))
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			if n, ok := c.(int); ok {
				c = thousands(n)
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
	row("events published", sums.published)
	row("  acknowledged", sums.acknowledged)
	row("  not acknowledged", sums.refused+sums.unanswered, fmt.Sprintf("(%s refused, %s unanswered; %s of them were in all the same)",
		thousands(sums.refused), thousands(sums.unanswered), thousands(sums.surfaced)))
	row("events delivered", delivered, fmt.Sprintf("(to %s clients over %s streams)", thousands(len(s.accounts)), thousands(int(s.opened.Load()))))
	row("  lost", lost)
	row("  repeated", repeated)
	row("  covered by a gap", covered)
	row("gaps reported", total(gaps), list(gaps))
	row("reconnects", int(s.reconnects.Load()), fmt.Sprintf("(of %d clients that stay, among them an EventSource and go-sse; connecting failed or was refused %s times)", s.steady+s.slow/2+len(s.foreigners), thousands(int(s.turnedAway.Load()))))
	left := map[string]int{}
	for how, name := range []string{"close", "reset", "cancel", "mid-event", "half-close", "before the answer"} {
		left[name] = int(s.left[how].Load())
	}
	row("departures", total(left), list(left))
	row("stopped reading", total(s.cuts)+int(s.pauses.Load()), fmt.Sprintf("(%d for good and cut, %d for a while)", total(s.cuts), s.pauses.Load()))
	row("stream-errors told", int(s.streamErrors.Load()))
	row("faults", total(s.happened))
	for _, c := range s.calamities() {
		row("  "+c.name, s.happened[c.name])
	}
	_ = w.Flush()

	fmt.Fprintf(s.out, "\nNodes before the first client, at most, and after the last one; in brackets the life that was measured\n\n")
	w = tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row("", "start", "peak", "end", "")
	for i, n := range s.nodes {
		b, p, e := s.base[i], s.peak[i], s.now[i]
		row("node "+n.name, fmt.Sprintf("[%d]", b.life), fmt.Sprintf("[1–%d]", p.life), fmt.Sprintf("[%d]", e.life), "")
		row("connections", b.connections, p.connections, e.connections, "")
		row("memory (RSS)", mebibytes(b.rss), mebibytes(p.rss), mebibytes(e.rss), "")
		row("goroutines", b.goroutines, p.goroutines, e.goroutines, "")
		row("descriptors", b.fds, p.fds, e.fds, "")
		row("and to Redis", b.redis, p.redis, e.redis, "")
	}
	_ = w.Flush()

	fmt.Fprintln(s.out)
	for i, text := range named {
		if i == maxNamed {
			fmt.Fprintf(s.out, "and %d more\n", len(named)-i)
			break
		}
		fmt.Fprintln(s.out, text)
	}
	for _, text := range s.faults {
		fmt.Fprintln(s.out, text)
	}
	if s.more > 0 {
		fmt.Fprintf(s.out, "and %d more\n", s.more)
	}
	if covered > 0 {
		fmt.Fprintln(s.out, "Gaps were told that cover events, though Redis loses nothing here and no client is away for long: see why.")
	}
	if lost+repeated+len(s.faults) > 0 {
		return errFailed
	}
	fmt.Fprintln(s.out, "Nothing was lost or repeated, and the nodes are as before.")
	return nil
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

// list names what was counted.
func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %s", thousands(counts[name]), name))
	}
	if parts == nil {
		return ""
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
