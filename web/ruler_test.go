package web_test

import (
	"strings"
	"testing"

	"weir/web"
)

// The times at the lines of a waterfall are in one unit, and no two are alike.
func TestRulerTellsItsLinesApart(t *testing.T) {
	for ms, want := range map[float64]string{
		0.02: "0 · 5.0 µs · 10.0 µs · 15.0 µs · 20.0 µs", 0.0004: "0 · 0.10 µs · 0.20 µs · 0.30 µs · 0.40 µs", 0.12: "0 · 0.030 ms · 0.060 ms · 0.090 ms · 0.120 ms",
		42.5: "0 · 10.6 ms · 21.2 ms · 31.9 ms · 42.5 ms", 5.04: "0 · 1.26 ms · 2.52 ms · 3.78 ms · 5.04 ms", 5040: "0 · 1.26 s · 2.52 s · 3.78 s · 5.04 s",
		2: "0 · 0.50 ms · 1.00 ms · 1.50 ms · 2.00 ms", 23.2: "0 · 5.8 ms · 11.6 ms · 17.4 ms · 23.2 ms", 900: "0 · 225 ms · 450 ms · 675 ms · 900 ms",
		1577: "0 · 0.39 s · 0.79 s · 1.18 s · 1.58 s", 30_000: "0 · 7.5 s · 15.0 s · 22.5 s · 30.0 s", 120_000: "0 · 30 s · 1 min · 1 min 30 s · 2 min", 7_200_000: "0 · 30 min · 1 h · 1 h 30 min · 2 h",
	} {
		if got := strings.Join(web.Journey{TotalMS: ms}.Ruler(), " · "); got != want {
			t.Errorf("of %v ms: %s, want %s", ms, got, want)
		}
	}
}
