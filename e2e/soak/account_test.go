//go:build unix

package main

import (
	"errors"
	"slices"
	"testing"
	"time"

	"weir/stream"
)

func id(n int) stream.ID { return stream.ID{Milli: 1000, Seq: uint64(n)} }

// topic returns a ledger in which the events 0 to 9 were acknowledged, with
// the IDs 1 to 10, but for 3, which was refused, and 6, of which nobody knows.
func topic(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{}
	if first := l.begin(10); first != 0 {
		t.Fatalf("the first number is %d", first)
	}
	for n := range 10 {
		switch n {
		case 3:
			l.fail(n, 1, refused)
		case 6:
			l.fail(n, 1, unanswered)
		default:
			l.acknowledge(n, []stream.ID{id(n + 1)})
		}
	}
	return l
}

func client(l *ledger, start stream.ID, got ...int) *account {
	a := &account{name: "c", ledger: l}
	a.begin(start)
	for _, n := range got {
		if err := a.receive(n, id(n+1)); err != nil {
			panic(err)
		}
	}
	return a
}

func TestAudit(t *testing.T) {
	for name, c := range map[string]struct {
		got      []int
		start    stream.ID
		gaps     []gap
		owed     stream.ID
		lost     []int
		covered  int
		repeated int
	}{
		"everything":                      {got: []int{0, 1, 2, 4, 5, 7, 8, 9}, owed: id(10)},
		"from the middle":                 {start: id(5), got: []int{5, 7, 8, 9}, owed: id(10)},
		"nothing yet":                     {start: id(10), owed: id(10)},
		"one is missing":                  {got: []int{0, 1, 2, 4, 7, 8, 9}, owed: id(10), lost: []int{5}},
		"the end is missing":              {got: []int{0, 1, 2, 4, 5, 7}, owed: id(10), lost: []int{8, 9}},
		"the end is missing to one gone":  {got: []int{0, 1, 2, 4, 5, 7}},
		"all is missing":                  {owed: id(10), lost: []int{0, 1, 2, 4, 5, 7, 8, 9}},
		"a gap covers it":                 {got: []int{0, 1, 7, 8, 9}, gaps: []gap{{from: id(2), to: id(6)}}, owed: id(10), covered: 3},
		"a gap begins after what it has":  {got: []int{0, 7, 8, 9}, gaps: []gap{{from: id(2), to: id(6)}}, owed: id(10), covered: 3, lost: []int{1}},
		"a gap is too short":              {got: []int{0, 1, 7, 8, 9}, gaps: []gap{{from: id(2), to: id(5)}}, owed: id(10), covered: 2, lost: []int{5}},
		"a gap ends the stream":           {got: []int{0}, gaps: []gap{{from: id(1), to: id(10)}}, covered: 7},
		"one is there again":              {got: []int{0, 1, 2, 4, 4, 5, 7, 8, 9}, owed: id(10), repeated: 1},
		"one comes out of order":          {got: []int{0, 1, 2, 5, 4, 7, 8, 9}, owed: id(10), repeated: 1},
		"what was not acknowledged comes": {got: []int{0, 1, 2, 3, 4, 5, 7, 8, 9}, owed: id(10)},
	} {
		t.Run(name, func(t *testing.T) {
			l := topic(t)
			a := client(l, c.start, c.got...)
			for _, g := range c.gaps {
				a.gap(g)
			}
			v := a.audit(l.facts(), c.owed)
			if !slices.Equal(v.lost, c.lost) || v.covered != c.covered || len(v.repeated) != c.repeated || v.delivered != len(c.got) {
				t.Errorf("lost %v, covered %d, repeated %v of %d; want %v, %d, %d of %d",
					v.lost, v.covered, v.repeated, v.delivered, c.lost, c.covered, c.repeated, len(c.got))
			}
		})
	}
}

// An event that was not acknowledged may be in or not; but once one client has
// it, it is owed to all.
func TestUnacknowledgedIsOwedOnceSeen(t *testing.T) {
	l := topic(t)
	one := client(l, stream.ID{}, 0, 1, 2, 4, 5, 6, 7, 8, 9)
	other := client(l, stream.ID{}, 0, 1, 2, 4, 5, 7, 8, 9)
	if v := one.audit(l.facts(), id(10)); len(v.lost) > 0 {
		t.Errorf("the client that has everything has lost %v", v.lost)
	}
	if v := other.audit(l.facts(), id(10)); !slices.Equal(v.lost, []int{6}) {
		t.Errorf("the other one has lost %v, want 6", v.lost)
	}
	want := sums{published: 10, acknowledged: 8, refused: 1, unanswered: 1, surfaced: 1}
	if got := l.sums(); got != want {
		t.Errorf("sums are %+v, want %+v", got, want)
	}
}

// A publish that somebody repeated in secret is in under two IDs.
func TestInTwice(t *testing.T) {
	l := topic(t)
	a := client(l, stream.ID{}, 0)
	if err := a.receive(1, id(12)); err != nil {
		t.Fatal(err)
	}
	if d := l.doubles(); len(d) != 1 {
		t.Errorf("found twice: %q, want number 1", d)
	}
}

func TestNeverPublished(t *testing.T) {
	l := topic(t)
	a := client(l, stream.ID{})
	for _, n := range []int{-1, 10} {
		if err := a.receive(n, id(20)); err == nil {
			t.Errorf("number %d was never published, and nobody minds", n)
		}
	}
}

func TestReached(t *testing.T) {
	l := topic(t)
	a := &account{ledger: l}
	if a.reached(stream.ID{}) {
		t.Error("a client that was never connected has reached something")
	}
	a.begin(id(3))
	a.begin(id(9)) // a second connection does not change where it began
	if !a.reached(id(3)) || a.reached(id(4)) {
		t.Error("a client stands where its stream begins")
	}
	a.gap(gap{from: id(3), to: id(7)})
	if !a.reached(id(7)) || a.reached(id(8)) {
		t.Error("a client stands behind the gap that it was told")
	}
}

func TestNumbers(t *testing.T) {
	var s numbers
	for _, n := range []int{1000, 70, 1001, 0, 5000} {
		if !s.add(n) || s.add(n) || !s.has(n) {
			t.Errorf("number %d is not in once", n)
		}
	}
	for _, n := range []int{1, 71, 999, 4999, 5001, 100000} {
		if s.has(n) {
			t.Errorf("number %d is in and was never put in", n)
		}
	}
}

// What a failover has taken back, and told, is neither lost nor repeated; to who
// came since it is nothing at all.
func TestTakenBack(t *testing.T) {
	failure := time.Now()
	l := topic(t)
	g := &stage{ledger: l, mayLose: true, failures: []time.Time{failure}}
	at := func(a *account, began time.Time) *account {
		a.stage, a.began = g, began
		g.accounts = append(g.accounts, a)
		return a
	}
	before, after := failure.Add(-time.Minute), failure.Add(time.Second)
	told := gap{from: id(10), to: id(7), told: failure.Add(2 * time.Second)}
	one := at(client(l, stream.ID{}, 0, 1, 2, 4, 5, 7, 8, 9), before)
	one.gap(told)
	// Number 8 was published again, and 10 is new.
	l.begin(1)
	l.acknowledge(10, []stream.ID{id(12)})
	for _, a := range []*account{one, at(client(l, id(7), 7), after)} {
		if err := errors.Join(a.receive(8, id(11)), a.receive(10, id(12))); err != nil {
			t.Fatal(err)
		}
	}
	silent := at(client(l, stream.ID{}, 0, 1, 2, 4, 5, 7), before)
	for _, c := range []struct {
		a    *account
		lost []int
	}{{one, nil}, {g.accounts[1], nil}, {silent, []int{8, 9, 8, 10}}} {
		v := c.a.audit(l.facts(), id(12), g.taken()...)
		if !slices.Equal(v.lost, c.lost) || len(v.repeated) > 0 {
			t.Errorf("%s: lost %v, want %v; repeated %q", c.a.name, v.lost, c.lost, v.repeated)
		}
	}
	if d := l.doubles(g.taken()...); len(d) > 0 {
		t.Errorf("found twice: %q", d)
	}
	if d := l.doubles(); len(d) != 1 {
		t.Errorf("without a failover, number 8 is in twice, and found are %q", d)
	}
}

// A client that was led back before what is lost, and goes on at a node that has
// yet to hear of the loss, gets it again: once for each time that it was led back.
// It has to be told again before the topic goes on, or to leave.
func TestRelapse(t *testing.T) {
	const (
		back  = -1 // the client is told that the numbers 7 to 9 are lost
		back9 = -2 // or number 9 alone
	)
	for name, c := range map[string]struct {
		got                []int
		loses              bool // the stage may
		relapsed, repeated int
	}{
		"told again":               {got: []int{5, 7, 8, 9, back, 7, 8, 9, back, 10}, loses: true, relapsed: 3},
		"has left":                 {got: []int{5, 7, 8, 9, back, 7, 8}, loses: true, relapsed: 2},
		"some for the first time":  {got: []int{5, 7, back, 7, 8, 9, back, 10}, loses: true, relapsed: 1},
		"twice":                    {got: []int{7, 8, 9, back, 7, 8, 9, back, 7, back, 10}, loses: true, relapsed: 4},
		"never told":               {got: []int{7, 8, 9, 7, 8, 9}, loses: true, repeated: 3},
		"told too late":            {got: []int{7, 8, 9, 7, back, 10}, loses: true, repeated: 1},
		"not told again":           {got: []int{7, 8, 9, back, 7, 8, 10}, loses: true, repeated: 2},
		"not told of all of it":    {got: []int{7, 8, 9, back, 7, 8, 9, back9, 10}, loses: true, relapsed: 1, repeated: 2},
		"twice, told once":         {got: []int{7, 8, 9, back, 7, 8, 7, 8, 9, back, 10}, loses: true, relapsed: 3, repeated: 2},
		"what was never lost":      {got: []int{4, 5, 7, back, 5, 7, back, 10}, loses: true, relapsed: 1, repeated: 1},
		"nothing may be lost here": {got: []int{7, 8, 9, back, 7, 8, 9, back, 10}, repeated: 3},
	} {
		t.Run(name, func(t *testing.T) {
			l := topic(t)
			l.begin(1)
			l.acknowledge(10, []stream.ID{id(12)})
			g := &stage{ledger: l, mayLose: c.loses}
			a := client(l, id(4))
			a.stage, g.accounts = g, []*account{a}
			for _, n := range c.got {
				switch n {
				case back:
					a.gap(gap{from: id(10), to: id(7)})
				case back9:
					a.gap(gap{from: id(10), to: id(9)})
				case 10:
					if err := a.receive(n, id(12)); err != nil {
						t.Fatal(err)
					}
				default:
					if err := a.receive(n, id(n+1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			r := g.result(stream.ID{})
			if r.relapsed != c.relapsed || r.repeated != c.repeated {
				t.Errorf("%d relapsed and %d repeated, want %d and %d: %q", r.relapsed, r.repeated, c.relapsed, c.repeated, r.named)
			}
		})
	}
}

// A line that was written and of which no event came is lost, whoever reads.
func TestAbsent(t *testing.T) {
	l := topic(t)
	l.written(l.begin(2), 2)
	a := client(l, stream.ID{}, 0, 1, 2, 4, 5, 7, 8, 9)
	if err := a.receive(11, id(11)); err != nil {
		t.Fatal(err)
	}
	if n := l.absent(); !slices.Equal(n, []int{10}) {
		t.Errorf("absent are %v, want 10", n)
	}
}
