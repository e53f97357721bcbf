package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"weir/cmd/weir/bench"
)

// results are what a run of the suite found, as they are kept in a file.
type results struct {
	Date     string   `json:"date"`
	Commit   string   `json:"commit"`
	Go       string   `json:"go"`
	Machine  machine  `json:"machine"`
	Rounds   int      `json:"rounds"`
	Seconds  float64  `json:"seconds_each"`
	Quick    bool     `json:"quick,omitempty"`
	Outcomes []*entry `json:"results"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Load   string `json:"load_before"` // who else was at work
}

// An entry is one scenario on one server.
type entry struct {
	Scenario string `json:"scenario"`
	Title    string `json:"title"`
	Server   string `json:"server"`
	Name     string `json:"server_title"`
	Floor    bool   `json:"floor,omitempty"`

	Median figures   `json:"median"`
	Runs   []figures `json:"runs"`
}

// figures are what counts of one report; of several, the medians, and the
// worst of what must not happen.
type figures struct {
	Round      int     `json:"round,omitempty"` // from 1; in one there may be several
	CPU        float64 `json:"cpu_us_per_delivery,omitempty"`
	OwnCPU     float64 `json:"bench_cpu_us_per_delivery,omitempty"`
	Cores      float64 `json:"cores"`
	PerSecond  float64 `json:"deliveries_per_second,omitempty"`
	Delivered  float64 `json:"delivered_percent,omitempty"`
	P50        float64 `json:"p50_ms,omitempty"`
	P99        float64 `json:"p99_ms,omitempty"`
	P999       float64 `json:"p99_9_ms,omitempty"`
	Max        float64 `json:"max_ms,omitempty"`
	Memory     float64 `json:"bytes_per_connection"`
	Bytes      float64 `json:"wire_bytes_per_delivery,omitempty"`
	Ratio      float64 `json:"cpu_times_floor,omitempty"`
	Lost       int64   `json:"lost"`
	Repeated   int64   `json:"repeated"`
	OutOfOrder int64   `json:"out_of_order"`
	Open       int     `json:"open"`
	SlowLetGo  int     `json:"slow_let_go,omitempty"`
	Answered   float64 `json:"publish_p99_ms,omitempty"` // how long a request to publish waited
}

func newResults(ctx context.Context, c *config) *results {
	r := &results{
		Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Go: runtime.Version(), Rounds: c.rounds, Seconds: c.duration.Seconds(), Quick: c.quick,
		Machine: machine{Cores: runtime.NumCPU(), CPU: runtime.GOARCH},
	}
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(out))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(b)) {
			if name, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
				r.Machine.CPU = strings.TrimSpace(v)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb float64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %f kB", &kb); err == nil {
			r.Machine.Memory = fmt.Sprintf("%.0f GiB", kb/(1<<20))
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		version, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
		r.Machine.Kernel = runtime.GOOS + " " + version
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Machine.Load = strings.Join(strings.Fields(string(b))[:1], "")
	}
	return r
}

// add takes a report in.
func (r *results) add(s *scenario, v *variant, p *bench.Report, round int) {
	i := slices.IndexFunc(r.Outcomes, func(e *entry) bool { return e.Scenario == s.name && e.Server == v.name })
	if i < 0 {
		i = len(r.Outcomes)
		r.Outcomes = append(r.Outcomes, &entry{Scenario: s.name, Title: s.title, Server: v.name, Name: v.title, Floor: v.floor()})
	}
	f := figures{
		Round:  round,
		OwnCPU: p.Own.PerDelivery, PerSecond: p.Events.PerSecond,
		P50: p.Latency.P50, P99: p.Latency.P99, P999: p.Latency.P999, Max: p.Latency.Max, Bytes: p.Events.BytesEach,
		Lost: p.Events.Lost, Repeated: p.Events.Repeated, OutOfOrder: p.Events.OutOfOrder, Open: p.Streams.Open, SlowLetGo: p.Streams.SlowLetGo,
	}
	if n := p.Events.Expected; n > 0 {
		f.Delivered = math.Floor(1e4*float64(p.Events.Delivered)/float64(n)) / 100 // 100 means all
	}
	if p.Server != nil {
		f.CPU, f.Cores, f.Memory = p.Server.CPU.PerDelivery, p.Server.CPU.Cores, p.Server.PerConnection
	}
	if p.Published != nil {
		f.Answered = p.Published.Took.P99
	}
	if p.Topics != nil {
		f.CPU, f.Memory, f.OwnCPU = p.Topics.CPU.PerDelivery, p.Topics.Bytes, 0
	}
	if p.Storm != nil {
		f.P50, f.P99, f.P999, f.Max = p.Storm.Time.P50, p.Storm.Time.P99, p.Storm.Time.P999, p.Storm.Time.Max
	}
	r.Outcomes[i].Runs = append(r.Outcomes[i].Runs, f)
}

func (r *results) find(scenario, server string) *entry {
	for _, e := range r.Outcomes {
		if e.Scenario == scenario && e.Server == server {
			return e
		}
	}
	return nil
}

// summarize takes medians. A ratio is taken within a round, where both servers
// met the same machine, and the median of those counts.
func (r *results) summarize() {
	for _, e := range r.Outcomes {
		base := r.find(e.Scenario, "floor")
		if base == nil || e.Floor {
			continue
		}
		for i := range e.Runs {
			run := &e.Runs[i]
			if cpu := base.cpu(run.Round); cpu > 0 {
				run.Ratio = math.Round(1e3*run.CPU/cpu) / 1e3
			}
		}
	}
	for _, e := range r.Outcomes {
		m := &e.Median
		of := func(f func(*figures) float64) float64 {
			var v []float64
			for i := range e.Runs {
				v = append(v, f(&e.Runs[i]))
			}
			slices.Sort(v)
			return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
		}
		m.CPU = of(func(f *figures) float64 { return f.CPU })
		m.OwnCPU = of(func(f *figures) float64 { return f.OwnCPU })
		m.Cores = of(func(f *figures) float64 { return f.Cores })
		m.PerSecond = of(func(f *figures) float64 { return f.PerSecond })
		m.Delivered = of(func(f *figures) float64 { return f.Delivered })
		m.P50 = of(func(f *figures) float64 { return f.P50 })
		m.P99 = of(func(f *figures) float64 { return f.P99 })
		m.P999 = of(func(f *figures) float64 { return f.P999 })
		m.Max = of(func(f *figures) float64 { return f.Max })
		m.Memory = of(func(f *figures) float64 { return f.Memory })
		m.Bytes = of(func(f *figures) float64 { return f.Bytes })
		m.Answered = of(func(f *figures) float64 { return f.Answered })
		m.Ratio = of(func(f *figures) float64 { return f.Ratio })
		m.Open = int(of(func(f *figures) float64 { return float64(f.Open) }))
		m.SlowLetGo = int(of(func(f *figures) float64 { return float64(f.SlowLetGo) }))
		for _, f := range e.Runs {
			m.Lost, m.Repeated, m.OutOfOrder = max(m.Lost, f.Lost), max(m.Repeated, f.Repeated), max(m.OutOfOrder, f.OutOfOrder)
		}
	}
}

// cpu is what a delivery cost in a round, on average; 0 if there was none.
func (e *entry) cpu(round int) float64 {
	sum, n := 0.0, 0
	for i := range e.Runs {
		if e.Runs[i].Round == round {
			sum += e.Runs[i].CPU
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// times returns how much more a delivery costs on one server than on another
// that had its turns beside it: of all runs together, since the difference is
// smaller than that between one run and the next.
func (r *results) times(on, off *entry) (ratio float64, ok bool) {
	var a, b float64
	for round := 1; round <= r.Rounds; round++ {
		a += on.cpu(round)
		b += off.cpu(round)
	}
	return a / b, a > 0 && b > 0
}

func (r *results) save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// cells are a row of the tables, after the scenario and the server.
func (e *entry) cells() []string {
	m := &e.Median
	number := func(v float64, unit string) string {
		if v == 0 {
			return "–"
		}
		return figure(v) + unit
	}
	delivered := "–"
	if m.Delivered > 0 {
		delivered = figure(m.Delivered) + " %"
		switch {
		case m.Lost == 0:
			delivered = "all"
		case m.Delivered == 100:
			delivered = "all but " + strconv.FormatInt(m.Lost, 10)
		}
	}
	ratio := "–"
	switch {
	case e.Floor && m.CPU > 0:
		ratio = "1"
	case m.Ratio > 0:
		ratio = strconv.FormatFloat(m.Ratio, 'f', 2, 64)
	}
	memory := number(m.Memory/1e3, " kB")
	if m.Memory < 0 || e.Scenario == "http2" || e.Scenario == "topics-few" || e.Scenario == "unfiltered" { // a stream is not a connection there; too few of what is measured
		memory = "–"
	}
	return []string{
		delivered, number(m.PerSecond, ""), number(m.P50, " ms"), number(m.P99, " ms"), number(m.P999, " ms"),
		number(m.CPU, " µs"), ratio, number(m.OwnCPU, " µs"), memory,
	}
}

var headings = []string{"Scenario", "Server", "Delivered", "Deliveries/s", "p50", "p99", "p99.9", "CPU a delivery", "× floor", "Bench's own", "Memory a connection"}

func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		s := strconv.FormatInt(int64(math.Round(v)), 10)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func (r *results) about() string {
	commit := r.Commit
	if commit == "" {
		commit = "unknown"
	}
	return fmt.Sprintf("%s, %d cores, %s, %s, %s; medians of %d × %s s; commit %s, %s.",
		r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Go, r.Rounds, strconv.FormatFloat(r.Seconds, 'f', -1, 64), commit, r.Date)
}

func (r *results) writeText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(headings[1:], "\t"))
	last := ""
	for _, e := range r.Outcomes {
		if e.Title != last {
			fmt.Fprintf(t, "\n%s\n", e.Title)
			last = e.Title
		}
		fmt.Fprintf(t, "  %s\t%s\n", e.Name, strings.Join(e.cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, g := range r.goals() { // none for the small loads of -quick
		mark := "missed"
		if g.met {
			mark = "met"
		}
		fmt.Fprintf(w, "%-6s  %s: %s\n", mark, g.what, g.found)
	}
	_, err := fmt.Fprintf(w, "\n%s Load average before: %s.\n", r.about(), r.Machine.Load)
	return err
}

func (r *results) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(headings, " | "), "---|---|"+strings.Repeat("--:|", len(headings)-2))
	last := ""
	for _, e := range r.Outcomes {
		title := e.Title
		if title == last {
			title = ""
		} else {
			last = title
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", title, e.Name, strings.Join(e.cells(), " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", r.about())
	_, err := io.WriteString(w, b.String())
	return err
}
