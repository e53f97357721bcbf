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

// A result is what became of the events of a stage.
type result struct {
	sums
	delivered, lost, repeated, again, relapsed, covered, taken, clients int

	gaps  map[string]int // by reason
	named []string       // what is lost or repeated
}

// result audits the accounts of a stage.
func (g *stage) result(marker stream.ID) result {
	r := result{sums: g.ledger.sums(), gaps: map[string]int{}, clients: len(g.accounts)}
	taken := g.taken()
	if !g.mayLose {
		taken = nil
	}
	facts := g.ledger.facts()
	for _, f := range facts {
		if lostID(f.id, taken) {
			r.taken++
		}
	}
	for _, n := range g.ledger.absent() {
		r.lost++
		r.named = append(r.named, fmt.Sprintf("number %d was acknowledged, and nobody has received it", n))
	}
	for _, text := range g.ledger.doubles(taken...) {
		r.repeated++
		r.named = append(r.named, text)
	}
	if g.lines != nil { // which have an order
		for i := 1; i < len(facts); i++ {
			if facts[i].number < facts[i-1].number {
				r.repeated++
				r.named = append(r.named, fmt.Sprintf("line %d is an event behind that of line %d", facts[i].number, facts[i-1].number))
			}
		}
	}
	for _, a := range g.accounts {
		var owed stream.ID
		if a.stays {
			owed = marker
		}
		v := a.audit(facts, owed, taken...)
		r.delivered += v.delivered
		r.repeated += len(v.repeated)
		r.again += v.again
		r.relapsed += v.relapsed
		r.covered += v.covered
		r.lost += len(v.lost)
		r.named = append(r.named, v.repeated...)
		for _, g := range v.gaps {
			r.gaps[g.reason]++
		}
		for _, n := range v.lost {
			r.named = append(r.named, fmt.Sprintf("%s never received number %d, which is %s", a.name, n, g.ledger.idOf(n)))
		}
	}
	for i := range r.named {
		r.named[i] = g.name + ": " + r.named[i]
	}
	return r
}

// report prints the table, and returns an error when something is wrong.
func (s *soak) report(markers map[*stage]stream.ID) error {
	fmt.Fprintf(s.out, "\nSoak of %v, %v in all\n\n", s.length, time.Since(s.began).Round(time.Second))
	named, bad := s.reportEvents(markers)
	s.reportClients()
	s.reportNodes()
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
	if bad || len(s.faults) > 0 {
		return errFailed
	}
	fmt.Fprintln(s.out, "Nothing was lost, repeated or silent, and the nodes are as before.")
	return nil
}

// reportEvents prints what became of the events, a column for each stage.
func (s *soak) reportEvents(markers map[*stage]stream.ID) (named []string, bad bool) {
	var results []result
	for _, g := range s.stages {
		r := g.result(markers[g])
		results = append(results, r)
		named = append(named, r.named...)
		bad = bad || r.lost+r.repeated > 0
		if left := r.published - r.acknowledged; left > 0 {
			bad = true
			named = append(named, fmt.Sprintf("%s: %d events have never been acknowledged", g.name, left))
		}
		if r.covered > 0 && !g.mayLose {
			bad = true
			named = append(named, fmt.Sprintf("%s: gaps were told that cover events, though nothing is lost here and no client is away for long", g.name))
		}
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, cell func(i int) any) {
		fmt.Fprint(w, name, "\t")
		for i := range results {
			c := cell(i)
			if n, ok := c.(int); ok {
				c = thousands(n)
			}
			fmt.Fprint(w, c, "\t")
		}
		fmt.Fprintln(w)
	}
	line("", func(i int) any { return s.stages[i].name })
	line("events published", func(i int) any { return results[i].published })
	line("acknowledged", func(i int) any { return results[i].acknowledged })
	again := func(f func(*publisher) int64) func(int) any {
		return func(i int) any {
			if p := s.stages[i].publisher; p != nil {
				return int(f(p))
			}
			return "–"
		}
	}
	line("of them only when published again", again(func(p *publisher) int64 { return p.again.Load() }))
	line("and found to be in already", again(func(p *publisher) int64 { return p.held.Load() }))
	line("clients", func(i int) any { return results[i].clients })
	line("events delivered", func(i int) any { return results[i].delivered })
	line("lost in silence", func(i int) any { return results[i].lost })
	line("repeated", func(i int) any { return results[i].repeated })
	line("gaps told", func(i int) any { return total(results[i].gaps) })
	line("events that they cover", func(i int) any { return results[i].covered })
	line("lost by Redis, as was told", func(i int) any { return results[i].taken })
	line("of them come again, published again", func(i int) any { return results[i].again })
	line("or from a node that had yet to hear", func(i int) any { return results[i].relapsed })
	_ = w.Flush()
	return named, bad
}

// reportClients prints what clients did and what befell the stages.
func (s *soak) reportClients() {
	fmt.Fprintln(s.out)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(name string, n int, more string) { fmt.Fprintf(w, "%s\t%s\t%s\n", name, thousands(n), more) }
	stay := 0
	left := map[string]int{}
	for how, name := range []string{"close", "reset", "cancel", "mid-event", "half-close", "before the answer"} {
		left[name] = int(s.left[how].Load())
	}
	for _, g := range s.stages {
		stay += len(g.staid)
	}
	row("streams", int(s.opened.Load()), fmt.Sprintf("(connecting failed or was refused %s times)", thousands(int(s.turnedAway.Load()))))
	row("reconnects", int(s.reconnects.Load()), fmt.Sprintf("(of %d clients that stay, among them an EventSource and go-sse)", stay))
	row("departures", total(left), list(left))
	row("stopped reading", total(s.cuts)+int(s.pauses.Load()), fmt.Sprintf("(%d for good and cut, %d for a while)", total(s.cuts), s.pauses.Load()))
	row("stream-errors told", int(s.streamErrors.Load()), "")
	row("misfortunes", total(s.happened), "")
	for _, g := range s.stages {
		for _, c := range g.disasters {
			name := g.name + ": " + c.name
			row("  "+name, s.happened[name], "")
		}
		if g.lines != nil {
			for how, name := range []string{"renamed", "copied and truncated", "copied and truncated under a writer that leaves a hole"} {
				row("  "+g.name+": rotated, "+name, int(g.lines.rotations[how].Load()), "")
			}
		}
	}
	_ = w.Flush()
}

// reportNodes prints what the nodes took, and gave back.
func (s *soak) reportNodes() {
	fmt.Fprintf(s.out, "\nNodes before the first client, at most, and after the last one; lives are how often each was started\n\n")
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, cell func(*node) string) {
		fmt.Fprint(w, what, "\t")
		for _, n := range s.nodes {
			fmt.Fprint(w, cell(n), "\t")
		}
		fmt.Fprintln(w)
	}
	three := func(f func(figures) int) func(*node) string {
		return func(n *node) string { return fmt.Sprintf("%d %d %d", f(n.base), f(n.peak), f(n.now)) }
	}
	row("node", func(n *node) string { return n.name })
	row("lives", func(n *node) string { return strconv.Itoa(n.now.life) })
	row("connections", three(func(f figures) int { return f.connections }))
	row("goroutines", three(func(f figures) int { return f.goroutines }))
	row("descriptors", three(func(f figures) int { return f.fds }))
	row("and to Redis", three(func(f figures) int { return f.redis }))
	row("memory (RSS), MiB", three(func(f figures) int { return int(f.rss >> 20) }))
	row("alive on the heap, MiB", func(n *node) string { return fmt.Sprintf("%.1f %.1f", mega(n.base.heap), mega(n.now.heap)) })
	row("of it, events held", func(n *node) string { return fmt.Sprintf("%.1f %.1f", mega(n.base.log), mega(n.now.log)) })
	_ = w.Flush()
	fmt.Fprintln(s.out)
}

func mega(n int64) float64 { return float64(n) / (1 << 20) }

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
