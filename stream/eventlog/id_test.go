package eventlog_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream/eventlog"
)

func TestParseID(t *testing.T) {
	for _, tc := range []struct {
		text string
		want eventlog.ID
		ok   bool
	}{
		{"0-0", eventlog.ID{}, true},
		{"0", eventlog.ID{}, true},
		{"1526919030474-55", eventlog.ID{Milli: 1526919030474, Seq: 55}, true},
		{"18446744073709551615-18446744073709551615", eventlog.ID{Milli: math.MaxUint64, Seq: math.MaxUint64}, true},
		{"18446744073709551616-0", eventlog.ID{}, false},
		{"", eventlog.ID{}, false},
		{"-", eventlog.ID{}, false},
		{"1-", eventlog.ID{}, false},
		{"-1", eventlog.ID{}, false},
		{"+1-0", eventlog.ID{}, false},
		{"1_0-0", eventlog.ID{}, false},
		{"1-2-3", eventlog.ID{}, false},
		{" 1-2", eventlog.ID{}, false},
		{"1-2\n", eventlog.ID{}, false},
		{"abc", eventlog.ID{}, false},
		{"$", eventlog.ID{}, false},
	} {
		got, err := eventlog.ParseID(tc.text)
		if (err == nil) != tc.ok || got != tc.want {
			t.Errorf("ParseID(%q) = %v, %v; want %v, ok %v", tc.text, got, err, tc.want, tc.ok)
		}
		if !tc.ok && !errors.Is(err, eventlog.ErrBadID) {
			t.Errorf("ParseID(%q): error %v is no ErrBadID", tc.text, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("1526919030474-55")
	f.Add("0")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := eventlog.ParseID(s)
		if err != nil {
			return
		}
		again, err := eventlog.ParseID(id.String())
		if err != nil || again != id {
			t.Errorf("%q is %v, which reads as %v, %v", s, id, again, err)
		}
	})
}

func TestIDOrder(t *testing.T) {
	rising := []eventlog.ID{{}, {Seq: 1}, {Milli: 1}, {Milli: 1, Seq: 1}, {Milli: 9}, {Milli: 10}, eventlog.IDAt(time.UnixMilli(1e12))}
	for i, a := range rising {
		for j, b := range rising {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// A filter lets through what one of its patterns matches, however many there are.
func TestFilterMatchesAsItsPatterns(t *testing.T) {
	words := []string{"a", "b", "eu", "eu-1", "x~", "a.b"}
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		var parts []string
		for range 1 + random.IntN(3) {
			parts = append(parts, words[random.IntN(len(words))])
		}
		return strings.Join(parts, ".")
	}
	for range 20_000 {
		var patterns []string
		for range 1 + random.IntN(5) {
			p := name()
			if random.IntN(2) == 0 {
				p += ".*"
			}
			patterns = append(patterns, p)
		}
		filter, err := eventlog.ParseFilter(patterns)
		if err != nil {
			t.Fatal(err)
		}
		subject := name()
		want := slices.ContainsFunc(patterns, func(p string) bool { return eventlog.MatchPattern(p, subject) })
		if filter.Match(subject) != want {
			t.Fatalf("%q lets %q through: %t", patterns, subject, !want)
		}
	}
}
