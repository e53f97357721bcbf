// Command suite is what make bench runs: it starts Weir, as it is built from
// this tree, and a bare net/http handler in turn, puts the same load on each,
// and prints medians and ratios.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"weir/cmd/weir/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var usage *bench.UsageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "suite: %v\n", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "suite: %v\n", err)
		os.Exit(1)
	}
}

const usage = `Suite measures Weir beside a bare net/http handler, and writes the results to a file.

Usage:
  go run ./cmd/weir/bench/suite [flags]

Flags:
`

// A scenario is one kind of load.
type scenario struct {
	name, title string
	opts        bench.Options
	weir        []string // further flags of the server
	kinds       []string // of variants
}

var (
	both  = []string{"floor", "weir", "nethttp"}
	every = []string{"floor", "weir", "notelemetry", "nethttp"}
	weirs = []string{"weir", "nethttp"}
	one   = []string{"floor", "weir"} // where Weir's transports do not differ

	subjectsHistory = []string{"-history", "16384"}
	demand          = []string{"-topics", "many.*,max=200000"}
)

var scenarios = []scenario{
	{name: "single", title: "1,000 connections, 20 single events/s", opts: bench.Options{Connections: 1000, Rate: 20},
		kinds: every},
	{name: "high", title: "1,000 connections, 1,000 events/s", opts: bench.Options{Connections: 1000, Rate: 1000, Warmup: 2 * time.Second},
		kinds: every},
	{name: "few", title: "100 connections, 10,000 events/s", opts: bench.Options{Connections: 100, Rate: 10000, Warmup: 2 * time.Second},
		kinds: both, weir: []string{"-history", "65536"}}, // 6 s of this load
	{name: "idle", title: "9,000 idle connections", opts: bench.Options{Connections: 9000, Ramp: 3000, Settle: 3 * time.Second},
		kinds: both},
	{name: "storm", title: "5,000 come back at once, 1,000 events each", opts: bench.Options{Connections: 5000, Storm: true, Replay: 1000},
		kinds: weirs}, // the floor has nothing to replay from
	// Half a megabyte a second: after eight seconds the buffers of the one that
	// does not read are full, and it is cut off while the others are measured.
	{name: "slow", title: "1 that stops reading beside 1,000, 100 events/s of 5 kB", opts: bench.Options{Connections: 1000, Rate: 100, Size: 5000, Slow: 1, Warmup: 8 * time.Second},
		kinds: both, weir: []string{"-write-timeout", "2s"}},
	{name: "nobody-slow", title: "the same 1,000 alone", opts: bench.Options{Connections: 1000, Rate: 100, Size: 5000, Warmup: 8 * time.Second},
		kinds: weirs},
	{name: "http2", title: "HTTP/2: 1,000 streams, 100 events/s", opts: bench.Options{Connections: 1000, Rate: 100, HTTP2: true, Warmup: time.Second},
		kinds: one},
	// 10 ms of events go in one request, so that what publishing costs, which is the
	// same for both, does not hide what delivering does.
	{name: "subjects", title: "10,000 readers with a subject each, 1,000 events/s", opts: bench.Options{Connections: 10000, Ramp: 3000, Subjects: 10000, Rate: 1000, Tick: 10 * time.Millisecond, Warmup: 2 * time.Second},
		kinds: []string{"weir"}, weir: subjectsHistory},
	{name: "unfiltered", title: "the same events, one reader of them all", opts: bench.Options{Connections: 1, Subjects: 10000, ReadAll: true, Rate: 1000, Tick: 10 * time.Millisecond, Warmup: 2 * time.Second},
		kinds: []string{"weir"}, weir: subjectsHistory},
	{name: "topics", title: "100,000 empty topics on demand: a request, a topic, a new one's first event", opts: bench.Options{Topics: 100_000},
		kinds: []string{"weir"}, weir: demand},
	{name: "topics-few", title: "the same with 100 topics", opts: bench.Options{Topics: 100},
		kinds: []string{"weir"}, weir: demand},
	{name: "gzip", title: "200 connections, 50 events/s, compressed", opts: bench.Options{Connections: 200, Rate: 50, Gzip: true, Warmup: time.Second},
		kinds: []string{"weir"}, weir: []string{"-compress"}},
	{name: "plain", title: "the same, not compressed", opts: bench.Options{Connections: 200, Rate: 50, Warmup: time.Second},
		kinds: []string{"weir"}},
}

// quick are the same kinds of load, small: they show that nothing is lost.
var quick = []scenario{
	{name: "single", title: "50 connections, 20 single events/s", opts: bench.Options{Connections: 50, Rate: 20}, kinds: weirs},
	{name: "high", title: "100 connections, 500 events/s", opts: bench.Options{Connections: 100, Rate: 500}, kinds: weirs},
	{name: "few", title: "10 connections, 2,000 events/s", opts: bench.Options{Connections: 10, Rate: 2000}, weir: []string{"-history", "65536"}, kinds: weirs},
	{name: "idle", title: "200 idle connections", opts: bench.Options{Connections: 200}, kinds: weirs},
	{name: "storm", title: "100 come back at once, 500 events each", opts: bench.Options{Connections: 100, Storm: true, Replay: 500}, kinds: weirs},
	{name: "slow", title: "1 slow among 50, 100 events/s of 4 kB", opts: bench.Options{Connections: 50, Rate: 100, Size: 4000, Slow: 1}, kinds: weirs},
	{name: "http2", title: "HTTP/2: 50 streams, 100 events/s", opts: bench.Options{Connections: 50, Rate: 100, HTTP2: true}, kinds: []string{"weir"}},
	{name: "subjects", title: "200 readers with a subject each, 500 events/s", opts: bench.Options{Connections: 200, Subjects: 200, Rate: 500}, kinds: weirs},
	{name: "unfiltered", title: "the same events, one reader of them all", opts: bench.Options{Connections: 1, Subjects: 200, ReadAll: true, Rate: 500}, kinds: []string{"weir"}},
	{name: "topics", title: "1,000 topics on demand", opts: bench.Options{Topics: 1000}, weir: demand, kinds: weirs},
	{name: "gzip", title: "gzip: 20 connections, 50 events/s", opts: bench.Options{Connections: 20, Rate: 50, Gzip: true}, weir: []string{"-compress"}, kinds: []string{"weir"}},
}

type config struct {
	rounds   int
	duration time.Duration
	names    string
	out      string
	weir     string
	profiles string
	quick    bool
	table    bool
	floor    bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c config
	f := flag.NewFlagSet("suite", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&c.rounds, "rounds", 3, "how often each server is measured")
	f.DurationVar(&c.duration, "d", 8*time.Second, "how long each measurement takes")
	f.StringVar(&c.names, "scenarios", "", "comma-separated names (default: all)")
	f.StringVar(&c.out, "o", filepath.Join("e2e", "out", "bench.json"), "the file with the results")
	f.StringVar(&c.weir, "weir", "", "the binary to measure (default: built from this tree)")
	f.StringVar(&c.profiles, "cpuprofile", "", "also write Weir's CPU profiles to this directory")
	f.BoolVar(&c.quick, "quick", false, "a few seconds of small loads that check that nothing is lost or repeated")
	f.BoolVar(&c.table, "table", false, "print the table of the results in the file -o, as Markdown, and measure nothing")
	f.BoolVar(&c.floor, "serve-floor", false, "serve the bare handler; the suite starts itself with this")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		return nil
	case err != nil:
		return &bench.UsageError{Err: err}
	case f.NArg() > 0:
		return &bench.UsageError{Err: fmt.Errorf("unknown argument %q", f.Arg(0))}
	case c.rounds < 1 || c.duration < 500*time.Millisecond:
		return &bench.UsageError{Err: errors.New("flag -rounds must be 1 or more, and -d 500ms or more")}
	}
	switch {
	case c.floor:
		return serveFloor(ctx, stdout)
	case c.table:
		r, err := load(c.out)
		if err != nil {
			return err
		}
		return r.writeMarkdown(stdout)
	}
	todo := scenarios
	if c.quick {
		todo = quick
		c.rounds, c.duration = 1, time.Second
	}
	todo, err := choose(todo, c.names)
	if err != nil {
		return err
	}
	return measure(ctx, &c, todo, stdout, stderr)
}

func choose(all []scenario, names string) ([]scenario, error) {
	if names == "" {
		return all, nil
	}
	var some []scenario
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			var known []string
			for _, s := range all {
				known = append(known, s.name)
			}
			return nil, &bench.UsageError{Err: fmt.Errorf("no scenario %q: there are %s", name, strings.Join(known, ", "))}
		}
		some = append(some, all[i])
	}
	return some, nil
}

func measure(ctx context.Context, c *config, todo []scenario, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if c.weir == "" {
		fmt.Fprintln(stderr, "building weir")
		if c.weir, err = build(ctx, dir); err != nil {
			return err
		}
	}
	servers, err := variants(ctx, c.weir)
	if err != nil {
		return err
	}
	if c.profiles != "" {
		if err := os.MkdirAll(c.profiles, 0o755); err != nil {
			return err
		}
	}
	r := newResults(ctx, c)
	var faults []error
	for round := range c.rounds {
		for i := range todo {
			s := &todo[i]
			for _, v := range turns(s, servers, c.quick) {
				fmt.Fprintf(stderr, "round %d of %d: %s: %s\n", round+1, c.rounds, s.title, v.title)
				report, err := once(ctx, c, s, v, round)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("%s: %s: %w", s.name, v.name, err)
				}
				r.add(s, v, report, round+1)
				if c.quick && !report.Exact() {
					var text strings.Builder
					_ = report.WriteText(&text) // into memory
					faults = append(faults, fmt.Errorf("%s: %s: not every event came once and in order:\n%s", s.name, v.name, text.String()))
				}
			}
		}
	}
	r.summarize()
	if err := r.save(c.out); err != nil {
		return err
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if err := r.writeText(stdout); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nResults are in %s.\n", c.out)
	return nil
}

// turns are the servers that a round puts a scenario's load on. With and without
// telemetry differ by less than one run and the next: they come twice, the second
// time in the other order, so that a machine that gets slower meets both alike.
func turns(s *scenario, servers []variant, quick bool) (all []*variant) {
	for i := range servers {
		v := &servers[i]
		if !slices.Contains(s.kinds, v.kind) {
			continue
		}
		all = append(all, v)
		if n := len(all); v.kind == "notelemetry" && !quick && n > 1 {
			all = append(all, v, all[n-2])
		}
	}
	return all
}

// once puts one load on one server.
func once(ctx context.Context, c *config, s *scenario, v *variant, round int) (*bench.Report, error) {
	server, err := start(ctx, c.weir, v, s.weir)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	o := s.opts
	o.URL = server.url + "/sse-stream?topic=bench&format=json"
	if o.Topics > 0 {
		o.URL, o.Heap = server.url+"/sse-stream?topic=many.*&format=data", func() (int64, error) { return server.heap(ctx) }
	}
	o.Token, o.PID, o.Duration = token, server.cmd.Process.Pid, c.duration
	if c.quick {
		o.Settle = 100 * time.Millisecond
	}
	profiled := make(chan error, 1)
	if c.profiles != "" && !v.floor() {
		o.Measuring = func() {
			path := filepath.Join(c.profiles, fmt.Sprintf("%s-%s-%d.pprof", s.name, v.name, round+1))
			profiled <- server.profile(ctx, path, c.duration-time.Second)
		}
	}
	r, err := bench.Measure(ctx, o)
	if err != nil {
		if text := server.stderr.String(); text != "" {
			err = fmt.Errorf("%w\nthe server says: %s", err, text)
		}
		return nil, err
	}
	if o.Measuring != nil {
		if err := <-profiled; err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
	}
	return r, nil
}

func load(path string) (*results, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(results)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
