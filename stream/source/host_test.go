package source_test

import (
	"encoding/json"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/source"
)

// readings runs a host until it has published n readings.
func readings(t *testing.T, h *source.Host, n int) []map[string]float64 {
	t.Helper()
	if h.Interval == 0 {
		h.Interval = 20 * time.Millisecond
	}
	p := newSink()
	stop, _ := run(t, h, p)
	p.wait(t, n)
	stop()
	all := make([]map[string]float64, len(p.got))
	for i, e := range p.got {
		if e.Type != source.ReadingType || e.ContentType != stream.JSON {
			t.Fatalf("got %s %s %s", e.Type, e.ContentType, p.text[i])
		}
		if err := json.Unmarshal(e.Data, &all[i]); err != nil {
			t.Fatalf("%s: %v", p.text[i], err)
		}
	}
	return all
}

func TestHost(t *testing.T) {
	known := []string{"goroutines", "gc_pause_ms", "connections"}
	if runtime.GOOS == "linux" {
		known = append(known, "cpu_percent", "memory_percent", "open_fds", "fd_limit")
	}
	runtime.GC()
	for _, r := range readings(t, &source.Host{Interval: 100 * time.Millisecond, Connections: func() int { return 7 }}, 3) {
		for _, key := range known {
			v, ok := r[key]
			high := 1e9
			switch key {
			case "cpu_percent", "memory_percent":
				high = 100
			case "gc_pause_ms":
				high = 60_000
			}
			if !ok || v < 0 || v > high {
				t.Errorf("%s is %v (known: %v) in %v", key, v, ok, r)
			}
		}
		for key := range r {
			if !slices.Contains(known, key) {
				t.Errorf("there is an unknown key %q", key)
			}
		}
		if r["connections"] != 7 || r["goroutines"] < 2 || r["gc_pause_ms"] == 0 {
			t.Errorf("got %v", r)
		}
		if runtime.GOOS == "linux" && (r["memory_percent"] == 0 || r["open_fds"] < 3 || r["fd_limit"] < r["open_fds"]) {
			t.Errorf("got %v", r)
		}
	}
}

func TestHostConnectionsByName(t *testing.T) {
	for name, test := range map[string]struct {
		count func() int
		want  float64
	}{"counted": {func() int { return 3 }, 3}, "not counted": {nil, 0}} {
		spec, err := source.Standard(nil, test.count).Parse("host")
		if err != nil {
			t.Fatal(err)
		}
		s, err := spec.Open()
		if err != nil {
			t.Fatal(err)
		}
		host := s.(*source.Host)
		host.Interval = time.Millisecond
		if got, told := readings(t, host, 1)[0]["connections"]; got != test.want || told != (test.count != nil) {
			t.Errorf("%s: connections are %v, told %v", name, got, told)
		}
	}
}

func TestHostInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &stamped{sink: newSink()}
		began := time.Now()
		stop, _ := run(t, new(source.Host), p)
		time.Sleep(10*time.Second + 500*time.Millisecond)
		stop()
		if len(p.times) != 10 || p.times[0].Sub(began) != time.Second {
			t.Errorf("%d readings in 10.5 s, at %v", len(p.times), p.times)
		}
	})
}
