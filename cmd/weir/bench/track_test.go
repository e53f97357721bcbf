package bench

import (
	"math/rand/v2"
	"testing"
)

func TestTracker(t *testing.T) {
	for _, c := range []struct {
		name           string
		begin          bool
		seen           []int64
		limit          int64
		expected, lost int64
		late, repeated int
	}{
		{name: "all in order", begin: true, seen: []int64{0, 1, 2, 3}, limit: 4, expected: 4},
		{name: "nothing came", begin: true, limit: 4, expected: 4, lost: 4},
		{name: "the end is missing", begin: true, seen: []int64{0, 1}, limit: 4, expected: 4, lost: 2},
		{name: "a hole", begin: true, seen: []int64{0, 3}, limit: 4, expected: 4, lost: 2},
		{name: "a hole that is filled late", begin: true, seen: []int64{0, 3, 1, 2}, limit: 4, expected: 4, late: 2},
		{name: "a hole that is filled from its middle", begin: true, seen: []int64{0, 6, 3, 5, 1, 2}, limit: 7, expected: 7, lost: 1, late: 4},
		{name: "repeated", begin: true, seen: []int64{0, 1, 1, 0, 2}, limit: 3, expected: 3, repeated: 2},
		{name: "late, then repeated", begin: true, seen: []int64{0, 2, 1, 1}, limit: 3, expected: 3, late: 1, repeated: 1},
		{name: "joined later", seen: []int64{5, 6, 8}, limit: 9, expected: 4, lost: 1},
		{name: "joined later, and an older one comes", seen: []int64{5, 4}, limit: 6, expected: 1, repeated: 1},
		{name: "joined and had nothing", limit: 9},
	} {
		var tr tracker
		if c.begin {
			tr.begin(0)
		}
		late1, repeated1 := 0, 0
		for _, n := range c.seen {
			switch tr.see(n) {
			case late:
				late1++
			case repeated:
				repeated1++
			}
		}
		expected, lost := tr.finish(c.limit)
		if expected != c.expected || lost != c.lost || late1 != c.late || repeated1 != c.repeated {
			t.Errorf("%s: expected %d, lost %d, late %d, repeated %d", c.name, expected, lost, late1, repeated1)
		}
	}
}

// Whatever comes, each number is lost, or was seen once and counted so.
func TestTrackerAccounts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		const limit = 400
		var tr tracker
		tr.begin(0)
		seen := make(map[int64]bool)
		first, forgets := 0, false
		at := int64(0)
		for range rnd.IntN(600) {
			at += rnd.Int64N(7) - 2
			at = min(max(at, 0), limit-1)
			v := tr.see(at)
			if v != repeated {
				first++
			}
			forgets = forgets || len(tr.holes) == maxHoles
			if (v == repeated) != seen[at] && !forgets {
				t.Fatalf("%d: verdict %d, seen before: %v", at, v, seen[at])
			}
			seen[at] = true
		}
		expected, lost := tr.finish(limit)
		if expected != limit || int(lost)+first != limit {
			t.Fatalf("expected %d, lost %d, seen first %d", expected, lost, first)
		}
	}
}

// A connection that misses much in many places is bounded in memory, and what
// it has forgotten stays lost.
func TestTrackerForgets(t *testing.T) {
	var tr tracker
	tr.begin(0)
	const n = 10 * maxHoles
	for i := range int64(n) {
		tr.see(2 * i)
	}
	if len(tr.holes) != maxHoles {
		t.Errorf("%d holes are kept, want %d", len(tr.holes), maxHoles)
	}
	if v := tr.see(1); v != repeated {
		t.Errorf("a forgotten one is %d", v)
	}
	if v := tr.see(2*n - 3); v != late {
		t.Errorf("one that is remembered is %d", v)
	}
	if _, lost := tr.finish(2*n - 1); lost != n-2 {
		t.Errorf("lost %d, want %d", lost, n-2)
	}
}

func TestCoarse(t *testing.T) {
	var c coarse
	for i := range int64(100000) {
		c.add(i * 1000)
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 1} {
		got, want := float64(c.quantile(q)), q*1e8
		if got < want*0.99 || got > want*1.13 {
			t.Errorf("quantile %g is %g, want %g to an eighth", q, got, want)
		}
	}
	for v := int64(0); v < 1<<40; v = v*9/8 + 1 {
		if b := coarseBucket(v); coarseTop(b) < v || b > 0 && coarseTop(b-1) >= v {
			t.Fatalf("%d is in bucket %d, which ends at %d", v, b, coarseTop(b))
		}
	}
}
