package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Report is what a run found. Times are milliseconds unless the name says
// otherwise, sizes are bytes.
type Report struct {
	URL      string    `json:"url"`
	Protocol string    `json:"protocol"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Go       string    `json:"go"`
	Platform string    `json:"platform"`
	CPUs     int       `json:"cpus"`
	Version  string    `json:"version,omitempty"`

	Streams   Streams    `json:"streams"`
	Published *Published `json:"published,omitempty"`
	Events    Events     `json:"events"`
	Latency   Quantiles  `json:"latency_ms"`
	Opening   Quantiles  `json:"opening_ms"`
	Own       CPU        `json:"own_cpu"`
	Server    *Server    `json:"server,omitempty"`
	Storm     *Storm     `json:"storm,omitempty"`
	Topics    *Topics    `json:"topics,omitempty"`
	Warnings  []string   `json:"warnings,omitempty"`
	Series    []Point    `json:"series"`
	// Distribution is the latency at rising percentiles.
	Distribution []Percentile `json:"distribution,omitempty"`

	opts        *Options
	first, last meter
	published   int64 // when publishing ended
	used, warm  int64
}

// Streams are the connections of a run.
type Streams struct {
	Asked      int    `json:"asked"`
	Open       int    `json:"open"`    // when all had had their time to open
	AtEnd      int    `json:"at_end"`  // when the run was over
	NoHead     int    `json:"no_head"` // sent nothing, not even a head, before the first event
	Refused    int    `json:"refused"` // for good
	Reconnects int64  `json:"reconnects"`
	Failures   int64  `json:"failures"`
	Problem    string `json:"problem,omitempty"` // the most frequent failure
	Slow       int    `json:"slow,omitempty"`
	SlowOpen   int    `json:"slow_open,omitempty"`
	SlowLetGo  int    `json:"slow_let_go,omitempty"`
	Gzipped    int64  `json:"gzipped,omitempty"`
}

// Published is what the bench put in.
type Published struct {
	Events    int64     `json:"events"`
	Asked     float64   `json:"rate_asked,omitempty"`
	Requests  int64     `json:"requests"`
	Refused   int64     `json:"refused_requests"`
	Uncertain int64     `json:"uncertain_events"` // the request broke: in or not, nobody knows
	Late      Quantiles `json:"late_ms"`          // sent so long after the intended time
	Took      Quantiles `json:"request_ms"`
}

// Events is the account of what came on all connections together.
type Events struct {
	Expected   int64   `json:"expected"`
	Delivered  int64   `json:"delivered"`
	Lost       int64   `json:"lost"`
	Repeated   int64   `json:"repeated"`
	OutOfOrder int64   `json:"out_of_order"`
	Gaps       int64   `json:"gaps"`    // gap events: the server told of a loss
	Foreign    int64   `json:"foreign"` // of other runs, or of another publisher
	Unmarked   int64   `json:"unmarked"`
	Pings      int64   `json:"pings"`
	Faults     int64   `json:"faults"`
	PerSecond  float64 `json:"per_second"`
	Bytes      int64   `json:"bytes"`
	Unpacked   int64   `json:"unpacked_bytes,omitempty"` // with gzip
	BytesEach  float64 `json:"bytes_each"`
}

// Quantiles describe a distribution, in milliseconds.
type Quantiles struct {
	Mean    float64 `json:"mean"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p99_9"`
	Max     float64 `json:"max"`
	Samples int64   `json:"samples"`
}

// CPU is the time that a process used while it was measured.
type CPU struct {
	Seconds     float64 `json:"seconds"`
	Cores       float64 `json:"cores"`
	PerDelivery float64 `json:"us_per_delivery"`
}

// Server is what the server's process used.
type Server struct {
	PID           int     `json:"pid"`
	CPU           CPU     `json:"cpu"`
	RSSBefore     int64   `json:"rss_before"`
	RSSConnected  int64   `json:"rss_connected"`
	RSSPeak       int64   `json:"rss_peak"`
	PerConnection float64 `json:"bytes_per_connection"`
}

// Storm is how the clients came back.
type Storm struct {
	Clients int `json:"clients"`
	Replay  int `json:"replay"`
	// Live is how many had all that they had missed.
	Live int `json:"live"`
	// Time is from the moment when all may come back until each is live.
	Time Quantiles `json:"time_ms"`
}

// A Point is one second of the run.
type Point struct {
	Second      float64 `json:"second"`
	Deliveries  int64   `json:"deliveries_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
	Streams     int     `json:"streams"`
	OwnCores    float64 `json:"own_cores"`
	ServerCores float64 `json:"server_cores,omitempty"`
	RSS         int64   `json:"rss,omitempty"`
}

// A Percentile is one point of a distribution.
type Percentile struct {
	Percent float64 `json:"percent"`
	MS      float64 `json:"ms"`
}

func newReport(o *Options) *Report {
	r := &Report{
		URL: o.URL, Began: time.Now().UTC().Truncate(time.Second), Protocol: "HTTP/1.1",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), opts: o,
	}
	switch {
	case o.HTTP2 && o.url.Scheme == "https":
		r.Protocol = "HTTP/2"
	case o.HTTP2:
		r.Protocol = "HTTP/2 (h2c)"
	case o.url.Scheme == "https":
		r.Protocol = "HTTP/1.1 (TLS)"
	}
	if o.Gzip {
		r.Protocol += ", gzip"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				r.Version = s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return r
}

func (r *Report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Exact reports whether every event that was expected came once and in order,
// on streams that all opened.
func (r *Report) Exact() bool {
	e := &r.Events
	return e.Lost == 0 && e.Repeated == 0 && e.OutOfOrder == 0 && r.Streams.Open+r.Streams.NoHead == r.Streams.Asked &&
		(r.Published == nil || r.Published.Uncertain == 0)
}

func (r *Report) fill(b *bench, end tally, expected, lost int64, latency, opening *hdrhistogram.Histogram) {
	o, s := r.opts, &r.Streams
	s.Asked, s.AtEnd, s.Refused = o.Connections, end.open, end.refused
	s.Reconnects, s.Failures, s.Problem = end.reconnects, end.failures, b.swarm.problem()
	s.Slow, s.SlowLetGo, s.Gzipped = o.Slow, end.letGo, end.gzipped

	window := float64(r.last.at-r.first.at) / 1e9
	r.Seconds = math.Round(window*1e3) / 1e3
	t0, t1 := &r.first.tally, &r.last.tally
	if p := b.pub; p != nil {
		r.Published = &Published{
			Events: p.events, Asked: o.Rate, Requests: p.requests, Refused: p.refused, Uncertain: p.errors,
			Late: quantiles(p.late), Took: quantiles(p.took),
		}
	}
	deliveries := t1.received() - t0.received()
	r.Events = Events{
		Expected: expected, Delivered: end.delivered, Lost: lost, Repeated: end.repeated, OutOfOrder: end.late,
		Gaps: end.gaps, Foreign: end.foreign, Unmarked: end.unmarked, Pings: end.pings, Faults: end.faults,
		Bytes: t1.bytes - t0.bytes, Unpacked: t1.plain - t0.plain,
	}
	if window > 0 {
		r.Events.PerSecond = math.Round(float64(deliveries) / window)
	}
	if deliveries > 0 {
		r.Events.BytesEach = math.Round(float64(r.Events.Bytes)/float64(deliveries)*10) / 10
	}
	cpu := func(d time.Duration) CPU {
		c := CPU{Seconds: d.Seconds()}
		if window > 0 {
			c.Cores = math.Round(d.Seconds()/window*1e3) / 1e3
		}
		if deliveries > 0 {
			c.PerDelivery = math.Round(float64(d)/float64(deliveries)) / 1e3
		}
		return c
	}
	r.Own = cpu(r.last.own - r.first.own)
	r.Latency, r.Opening = quantiles(latency), quantiles(opening)
	if latency.TotalCount() > 0 {
		r.Distribution = distribution(latency)
	}
	if v := r.Server; v != nil {
		v.CPU = cpu(r.last.server - r.first.server)
		b.mu.Lock()
		v.RSSPeak = max(b.peak, v.RSSConnected)
		b.mu.Unlock()
		if n := s.Open + s.NoHead + s.SlowOpen; n > 0 {
			v.PerConnection = math.Round(float64(v.RSSConnected-v.RSSBefore) / float64(n))
		}
		if deliveries > 0 && v.CPU.Seconds > 0.2 && r.Own.Seconds >= v.CPU.Seconds {
			r.warn("The bench used as much CPU as the server (%.2f s and %.2f s): where both share CPUs, the latency is the bench's too.", r.Own.Seconds, v.CPU.Seconds)
		}
	}
	if n := s.Asked - s.Open - s.NoHead; n > 0 {
		r.warn("%s of %s streams could not be opened: %s", group(int64(n)), group(int64(s.Asked)), orUnknown(s.Problem))
	}
	if s.NoHead > 0 {
		r.warn("%s streams were sent no response head before the first event: a browser shows them as not connected.", group(int64(s.NoHead)))
	}
	if p := r.Published; p != nil && o.Rate > 0 {
		if p.Late.P99 > 5 {
			r.warn("Events were sent late, p99 %s ms behind their schedule (a request waits for the answer to the one before, p99 %s ms). The latency counts from the schedule, so this is part of it.", figure(p.Late.P99), figure(p.Took.P99))
		}
		if p.Uncertain > 0 {
			r.warn("%d events may have been lost on the way to the server: their requests broke.", p.Uncertain)
		}
	}
	if r.Published != nil && end.delivered == 0 && end.unmarked > 0 {
		r.warn("The events that came do not carry what was published, so nothing can be said of them: ask the server for the data as it is, as by format=json.")
	}
	if o.Gzip && s.Gzipped == 0 {
		r.warn("The server did not compress.")
	}
}

func distribution(h *hdrhistogram.Histogram) []Percentile {
	var d []Percentile
	n := float64(h.TotalCount())
	for tail := 1.0; tail*n >= 0.999 && tail > 1e-8; tail /= math.Sqrt2 {
		p := 100 * (1 - tail)
		d = append(d, Percentile{Percent: p, MS: ms(h.ValueAtQuantile(p))})
	}
	return append(d, Percentile{Percent: 100, MS: ms(h.Max())})
}

// group writes a number with commas.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes for people.
func size(n int64) string { return sizef(float64(n)) }

func sizef(n float64) string {
	switch a := math.Abs(n); {
	case a >= 1e9:
		return figure(n/1e9) + " GB"
	case a >= 1e6:
		return figure(n/1e6) + " MB"
	case a >= 1e3:
		return figure(n/1e3) + " kB"
	}
	return figure(n) + " B"
}

// figure writes three digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return group(int64(math.Round(v)))
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a == 0:
		return "0"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func (q *Quantiles) line() string {
	return fmt.Sprintf("p50 %s · p90 %s · p99 %s · p99.9 %s · max %s ms",
		figure(q.P50), figure(q.P90), figure(q.P99), figure(q.P999), figure(q.Max))
}

// lines are the report in words, each with its heading.
func (r *Report) lines() [][2]string {
	var out [][2]string
	add := func(head, format string, args ...any) {
		out = append(out, [2]string{head, fmt.Sprintf(format, args...)})
	}
	if r.Topics != nil {
		add("topics", "%s", r.Topics.line())
		add("first event", "%s", r.Latency.line())
		add("server memory", "%s before, %s with the topics", size(r.Server.RSSBefore), size(r.Server.RSSConnected))
		return out
	}
	s, e := &r.Streams, &r.Events
	text := fmt.Sprintf("%s of %s open", group(int64(s.Open+s.NoHead)), group(int64(s.Asked)))
	if r.Opening.Samples > 0 {
		text += fmt.Sprintf(" · opening p50 %s, p99 %s, max %s ms", figure(r.Opening.P50), figure(r.Opening.P99), figure(r.Opening.Max))
	}
	add("streams", "%s · %s reconnects · %s failures", text, group(s.Reconnects), group(s.Failures))
	if s.Slow > 0 {
		add("slow clients", "%d stopped reading · %d of them cut off by the server", s.SlowOpen, s.SlowLetGo)
	}
	if p := r.Published; p != nil {
		text := fmt.Sprintf("%s events in %s requests", group(p.Events), group(p.Requests))
		if p.Asked > 0 {
			text += fmt.Sprintf(" · %s/s asked · sent late by p50 %s, p99 %s ms · answered in p50 %s, p99 %s ms",
				figure(p.Asked), figure(p.Late.P50), figure(p.Late.P99), figure(p.Took.P50), figure(p.Took.P99))
		}
		if p.Refused > 0 {
			text += fmt.Sprintf(" · %s requests put off by the server", group(p.Refused))
		}
		add("published", "%s", text)
	}
	if e.Expected > 0 || r.Published != nil {
		add("delivered", "%s of %s · lost %s · repeated %s · out of order %s", group(e.Delivered), group(e.Expected), group(e.Lost), group(e.Repeated), group(e.OutOfOrder))
	}
	if e.Gaps+e.Faults > 0 {
		add("told", "%s gaps · %s server faults", group(e.Gaps), group(e.Faults))
	}
	if e.Unmarked+e.Foreign > 0 {
		add("others", "%s events of somebody else", group(e.Unmarked+e.Foreign))
	}
	text = fmt.Sprintf("%s deliveries/s for %s s", group(int64(e.PerSecond)), figure(r.Seconds))
	if r.Seconds > 0 && e.BytesEach > 0 {
		text += fmt.Sprintf(" · %s/s · %s bytes each", sizef(float64(e.Bytes)/r.Seconds), figure(e.BytesEach))
	}
	if e.Unpacked > 0 && e.Bytes > 0 {
		text += fmt.Sprintf(" · compressed to %.0f %%", 100*float64(e.Bytes)/float64(e.Unpacked))
	}
	add("throughput", "%s", text)
	if st := r.Storm; st != nil {
		add("storm", "%s of %s clients live again, %s events each: %s", group(int64(st.Live)), group(int64(st.Clients)), group(int64(st.Replay)), st.Time.line())
	} else if r.Latency.Samples > 0 {
		add("latency", "%s", r.Latency.line())
	}
	cpu := func(c *CPU) string {
		if c.PerDelivery > 0 {
			return fmt.Sprintf("%s µs a delivery · %.2f cores", figure(c.PerDelivery), c.Cores)
		}
		return fmt.Sprintf("%.3f cores", c.Cores)
	}
	add("bench CPU", "%s", cpu(&r.Own))
	if v := r.Server; v != nil {
		add("server CPU", "%s", cpu(&v.CPU))
		add("server memory", "%s a connection · %s before, %s connected, %s at most", sizef(v.PerConnection), size(v.RSSBefore), size(v.RSSConnected), size(v.RSSPeak))
	}
	return out
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", r.URL, r.Protocol)
	for _, l := range r.lines() {
		fmt.Fprintf(&b, "  %-14s %s\n", l[0], l[1])
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "\n  note: %s\n", warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
