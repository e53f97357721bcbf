package stream_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"weir/stream"
)

func TestParseID(t *testing.T) {
	for _, tc := range []struct {
		text string
		want stream.ID
		ok   bool
	}{
		{"0-0", stream.ID{}, true},
		{"0", stream.ID{}, true},
		{"1526919030474-55", stream.ID{Milli: 1526919030474, Seq: 55}, true},
		{"18446744073709551615-18446744073709551615", stream.ID{Milli: math.MaxUint64, Seq: math.MaxUint64}, true},
		{"18446744073709551616-0", stream.ID{}, false},
		{"", stream.ID{}, false},
		{"-", stream.ID{}, false},
		{"1-", stream.ID{}, false},
		{"-1", stream.ID{}, false},
		{"+1-0", stream.ID{}, false},
		{"1_0-0", stream.ID{}, false},
		{"1-2-3", stream.ID{}, false},
		{" 1-2", stream.ID{}, false},
		{"1-2\n", stream.ID{}, false},
		{"abc", stream.ID{}, false},
		{"$", stream.ID{}, false},
	} {
		got, err := stream.ParseID(tc.text)
		if (err == nil) != tc.ok || got != tc.want {
			t.Errorf("ParseID(%q) = %v, %v; want %v, ok %v", tc.text, got, err, tc.want, tc.ok)
		}
		if !tc.ok && !errors.Is(err, stream.ErrBadID) {
			t.Errorf("ParseID(%q): error %v is no ErrBadID", tc.text, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("1526919030474-55")
	f.Add("0")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := stream.ParseID(s)
		if err != nil {
			return
		}
		again, err := stream.ParseID(id.String())
		if err != nil || again != id {
			t.Errorf("%q is %v, which reads as %v, %v", s, id, again, err)
		}
	})
}

func TestIDOrder(t *testing.T) {
	rising := []stream.ID{{}, {Seq: 1}, {Milli: 1}, {Milli: 1, Seq: 1}, {Milli: 9}, {Milli: 10}, stream.IDAt(time.UnixMilli(1e12))}
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
