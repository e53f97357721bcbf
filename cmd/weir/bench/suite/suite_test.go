package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/bench"
)

// report is one with the figures that the table shows.
func report(cpu, p99 float64, lost int64) *bench.Report {
	r := &bench.Report{Server: &bench.Server{PerConnection: 5000}}
	r.Server.CPU.PerDelivery, r.Own.PerDelivery = cpu, cpu/2
	r.Latency.P99, r.Latency.P50 = p99, p99/2
	r.Events.Expected, r.Events.Delivered, r.Events.Lost, r.Events.PerSecond = 1000, 1000-lost, lost, 100
	return r
}

func TestResults(t *testing.T) {
	s := &scenario{name: "high", title: "many"}
	floor, weir, quiet := &variant{name: "floor", title: "bare", kind: "floor"}, &variant{name: "weir", title: "Weir", kind: "weir"},
		&variant{name: "weir-notelemetry", title: "Weir, no telemetry", kind: "notelemetry"}
	r := &results{Rounds: 3, Seconds: 8, Commit: "abc", Date: "today"}
	// The machine gets slower from round to round: ratios are taken within one.
	for round := range 3 {
		slower := float64(1 + round)
		r.add(s, floor, report(10*slower, 100, 500), round+1)
		r.add(s, weir, report(1*slower, 10*slower, int64(round/2)), round+1)
		r.add(s, quiet, report(0.9*slower, 10, 0), round+1)
	}
	r.summarize()
	m := r.find("high", "weir").Median
	if m.CPU != 2 || m.Ratio != 0.1 || m.P99 != 20 || m.Lost != 1 || m.OwnCPU != 1 {
		t.Errorf("medians: %+v", m)
	}
	met := map[string]bool{}
	for _, g := range r.goals() {
		met[g.what] = g.met
	}
	for what, want := range map[string]bool{
		"many: Weir: every event, once, in order":                  false,
		"many: Weir: CPU a delivery at most 0.15 × floor":          true,
		"many: Weir: p99 at most 25 ms":                            true,
		"many: Weir, no telemetry: telemetry costs at most 1.05 ×": false,
	} {
		if got, known := met[what]; got != want || !known {
			t.Errorf("goal %q: met %v, known %v; all: %v", what, got, known, met)
		}
	}

	// With and without by turns: what drifts meets both alike.
	paired := &results{Rounds: 1}
	for _, run := range []struct {
		v   *variant
		cpu float64
	}{{weir, 1.04}, {quiet, 1.5}, {quiet, 2}, {weir, 2.6}} {
		paired.add(s, run.v, report(run.cpu, 1, 0), 1)
	}
	if ratio, ok := paired.times(paired.find("high", "weir"), paired.find("high", "weir-notelemetry")); !ok || math.Abs(ratio-1.04) > 1e-9 {
		t.Errorf("telemetry costs %v ×", ratio)
	}
	all := []variant{*floor, *weir, *quiet}
	names := ""
	for _, v := range turns(&scenario{kinds: []string{"floor", "weir", "notelemetry"}}, all, false) {
		names += v.name + " "
	}
	if names != "floor weir weir-notelemetry weir-notelemetry weir " {
		t.Errorf("the turns are %s", names)
	}

	path := filepath.Join(t.TempDir(), "deep", "results.json")
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := run(t.Context(), []string{"-table", "-o", path}, &table, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| Scenario | Server | Delivered |",
		"| many | bare | 50.0 % | 100 | 50.0 ms | 100 ms | – | 20.0 µs | 1 | 10.0 µs | 5.00 kB |",
		"|  | Weir | all but 1 | 100 | 10.0 ms | 20.0 ms | – | 2.00 µs | 0.10 | 1.00 µs | 5.00 kB |",
		"|  | Weir, no telemetry | all |",
		"medians of 3 × 8 s; commit abc, today.",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
	columns := -1
	for line := range strings.Lines(table.String()) {
		if n := strings.Count(line, "|"); n > 0 {
			if columns >= 0 && n != columns {
				t.Errorf("a row has %d bars, others %d: %s", n, columns, line)
			}
			columns = n
		}
	}
	var text bytes.Buffer
	if err := r.writeText(&text); err != nil || !strings.Contains(text.String(), "missed") {
		t.Errorf("%v: %s", err, &text)
	}
}

// What readers with a subject each, and topics on demand, are held to.
func TestGoalsOfSubjectsAndTopics(t *testing.T) {
	r := &results{Rounds: 1}
	weir := &variant{name: "weir", title: "Weir", kind: "weir"}
	for name, cpu := range map[string]float64{"subjects": 29, "unfiltered": 10} {
		p := report(cpu, 5, 0)
		p.Published = &bench.Published{Took: bench.Quantiles{P99: cpu}}
		r.add(&scenario{name: name, title: name}, weir, p, 1)
	}
	for name, topics := range map[string]*bench.Topics{"topics": {Bytes: 3100, CPU: bench.CPU{PerDelivery: 14}}, "topics-few": {Bytes: 5, CPU: bench.CPU{PerDelivery: 10}}} {
		p := report(0, 51, 0)
		p.Topics = topics
		r.add(&scenario{name: name, title: name}, weir, p, 1)
	}
	r.summarize()
	met := map[string]bool{}
	for _, g := range r.goals() {
		met[g.what] = g.met
	}
	for what, want := range map[string]bool{
		"subjects: Weir: CPU a delivery at most 3 × that of one reader of everything":       true,
		"subjects: Weir: publishing waits for none (p99 of its answers, give or take 5 ms)": false,
		"topics: Weir: memory a topic at most 3 kB":                                         false,
		"topics: Weir: p99 of a new topic's first event at most 50 ms":                      false,
		"topics: Weir: CPU a request at most 1.5 × that with 100 topics":                    true,
	} {
		if got, known := met[what]; got != want || !known {
			t.Errorf("goal %q: met %v, known %v; all: %v", what, got, known, met)
		}
	}
	var table bytes.Buffer
	if err := r.writeMarkdown(&table); err != nil || !strings.Contains(table.String(), "| 14.0 µs | – | – | 3.10 kB |") {
		t.Errorf("%v:\n%s", err, &table)
	}
}

// The floor serves what the bench expects of a server, so that what is
// measured is the same work.
func TestFloor(t *testing.T) {
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveFloor(ctx, in) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the floor says %q", line)
	}
	for _, h2 := range []bool{false, true} {
		r, err := bench.Measure(t.Context(), bench.Options{URL: url, Connections: 10, Rate: 50, Duration: 200 * time.Millisecond, Settle: time.Millisecond, HTTP2: h2})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Exact() || r.Events.Delivered != 100 {
			t.Errorf("HTTP/2 %v: %+v", h2, r.Events)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestScenarios(t *testing.T) {
	known := map[string]bool{"floor": true, "weir": true, "nethttp": true, "notelemetry": true}
	for _, list := range [][]scenario{scenarios, quick} {
		seen := map[string]bool{}
		for _, s := range list {
			if seen[s.name] || s.title == "" || len(s.kinds) == 0 {
				t.Errorf("scenario %+v", s)
			}
			seen[s.name] = true
			for _, k := range s.kinds {
				if !known[k] {
					t.Errorf("scenario %s: no variant is a %q", s.name, k)
				}
			}
		}
	}
	some, err := choose(scenarios, "idle,high")
	if err != nil || len(some) != 2 || some[0].name != "idle" || some[1].name != "high" {
		t.Errorf("chosen: %v, %v", some, err)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"-nope":            "-nope",
		"extra":            `"extra"`,
		"-rounds 0":        "-rounds",
		"-d 1ms":           "-d 500ms",
		"-scenarios bogus": "there are single, high",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		var usage *bench.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("suite %s: %v", args, err)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), "-quick") {
		t.Errorf("help: %v\n%s", err, &out)
	}
}
