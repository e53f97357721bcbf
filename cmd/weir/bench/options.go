package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"
)

// Options say what to measure. Only URL is required; the zero value of each
// other field works.
type Options struct {
	// URL is the stream: http or https.
	URL string
	// Connections is how many streams are opened. Default: 100.
	Connections int
	// Ramp is how many of them are opened a second. Default: 2000.
	Ramp float64
	// Duration is how long is measured, once all are open. Default: 10 s.
	Duration time.Duration
	// Rate is how many events a second are published. Default: 0, none: the
	// bench listens to what the server sends by itself.
	Rate float64
	// Size is the length of an event's data in bytes. Default: 200.
	Size int
	// Tick is the shortest time between two publish requests; the events that
	// are due go in one. Default: 1 ms.
	Tick time.Duration
	// Gather is how long a reader of HTTP/1.1 connections waits between one look
	// at them and the next, which counts into the latency. On one machine the
	// sender of bytes pays for waking their receiver, and a server would be
	// charged for waking the bench thousands of times a second. Default: 250 µs.
	Gather time.Duration
	// Warmup is for how long events are published, and checked, before the
	// measurement begins. Default: 0.
	Warmup time.Duration
	// Token is the bearer token for publishing.
	Token string
	// PublishURL, PublishBody, PublishType and PublishHeader tell how one event
	// is published at a server other than Weir: {t}, {n} and {data} stand for
	// its time, number and JSON. Default: NDJSON to Weir's /publish at the host
	// of URL.
	PublishURL, PublishBody, PublishType string
	PublishHeader                        http.Header
	// Header goes with each request for a stream.
	Header http.Header
	// PID is the server's process. Default: 0, the server is not looked at.
	PID int
	// Storm makes the bench cut all connections, publish Replay events, and
	// let all clients come back at once, instead of publishing at a rate.
	Storm bool
	// Replay is how many events each client of a storm has missed. Default: 1000.
	Replay int
	// Subjects, if not 0, is how many subjects there are: event n is about subject
	// n mod Subjects, and each stream asks for one of them, in turn. Only Weir knows
	// these. Default: 0, every stream gets every event.
	Subjects int
	// ReadAll has the streams read all subjects nevertheless.
	ReadAll bool
	// Topics, if not 0, measures topics on demand in place of streams: so many are
	// made, and stay empty; their names are the topic of URL with its * replaced.
	Topics int
	// Heap, if not nil, tells how many bytes the server has in use, for what a
	// topic takes. Default: what is resident of the process PID.
	Heap func() (int64, error)
	// Slow is how many more connections stop reading once they are open.
	Slow int
	// HTTP2 asks for HTTP/2: by ALPN for https, with prior knowledge for http.
	HTTP2 bool
	// Streams is how many streams share an HTTP/2 connection. Default: 100.
	Streams int
	// Gzip asks the server to compress.
	Gzip bool
	// Workers is how many goroutines read plain HTTP/1.1 connections. Default:
	// half the CPUs, at least 1 and at most 4.
	Workers int
	// ConnectTimeout is how long a stream may take to open. Default: 10 s.
	ConnectTimeout time.Duration
	// Settle is how long to wait after the last stream has opened, before
	// memory is read and publishing begins. Default: 500 ms.
	Settle time.Duration
	// Drain is how long to wait for events that are still on their way when
	// publishing has ended. Default: 10 s.
	Drain time.Duration
	// Insecure takes any certificate.
	Insecure bool
	// AllowRemote lets the bench put load on a host other than this one.
	AllowRemote bool
	// Portable reads with one goroutine per connection even where the bench
	// could do better. TLS always does.
	Portable bool
	// Measuring is called, in a goroutine of its own, when measuring begins.
	Measuring func()
	// Progress takes a line a second. Default: none.
	Progress io.Writer

	url *url.URL
}

// A UsageError is a mistake in the flags, or in Options: exit status 2.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// minSize is the shortest data that holds a time, a number and the pad's name.
const minSize = len(`{"t":1234567890123456789,"n":1234567890123456,"pad":""}`)

// check fills in the defaults and refuses what cannot work.
func (o *Options) check(ctx context.Context) error {
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return usagef("which stream? Give its URL, as http://127.0.0.1:8080/sse-stream?format=json")
	case err != nil:
		return usagef("bad URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return usagef("bad URL %q: it must begin with http:// or https:// and name a host", o.URL)
	case u.User != nil:
		return usagef("bad URL %q: give credentials by -header 'Authorization: …'", u.Redacted())
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sse-stream"
		if q := u.Query(); q.Get("format") == "" {
			q.Set("format", "json")
			u.RawQuery = q.Encode()
		}
	}
	u.Fragment = ""
	o.url, o.URL = u, u.String()

	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"-d", &o.Duration, 10 * time.Second},
		{"-tick", &o.Tick, time.Millisecond},
		{"-gather", &o.Gather, 250 * time.Microsecond},
		{"-warmup", &o.Warmup, 0},
		{"-connect-timeout", &o.ConnectTimeout, 10 * time.Second},
		{"-settle", &o.Settle, 500 * time.Millisecond},
		{"-drain", &o.Drain, 10 * time.Second},
	} {
		if *d.value < 0 {
			return usagef("flag %s must not be negative", d.name)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	for _, n := range []struct {
		name  string
		value *int
		def   int
	}{
		{"-c", &o.Connections, 100},
		{"-size", &o.Size, 200},
		{"-replay", &o.Replay, 1000},
		{"-slow", &o.Slow, 0},
		{"-subjects", &o.Subjects, 0},
		{"-topics", &o.Topics, 0},
		{"-streams", &o.Streams, 100},
		{"-workers", &o.Workers, max(1, min(4, runtime.NumCPU()/2))},
		{"-pid", &o.PID, 0},
	} {
		if *n.value < 0 {
			return usagef("flag %s must not be negative", n.name)
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	if o.Ramp == 0 {
		o.Ramp = 2000
	}
	if !(o.Ramp > 0) {
		return usagef("flag -ramp must be above 0")
	}
	if !(o.Rate >= 0 && o.Rate <= 1e7) {
		return usagef("flag -rate must be between 0 and 10000000 events a second")
	}
	if o.Size < minSize || o.Size > 1<<20 {
		return usagef("flag -size must be between %d bytes (the time and the number of the event) and 1 MiB", minSize)
	}
	if o.Storm && o.Rate > 0 {
		return usagef("flags -storm and -rate exclude each other: a storm publishes -replay events at once")
	}
	if o.Storm && o.Slow > 0 {
		return usagef("flags -storm and -slow exclude each other")
	}
	if o.Subjects > 0 && (o.Storm || o.HTTP2 || o.PublishURL != "") {
		return usagef("flag -subjects does not go with -storm, -h2 and -publish-url")
	}
	if o.Topics > 0 && strings.Count(u.Query().Get("topic"), "*") != 1 {
		return usagef("flag -topics needs a * in the topic of the URL, as in ?topic=run.*")
	}
	if o.Gzip && o.HTTP2 {
		return usagef("flags -gzip and -h2 cannot be combined yet")
	}
	if o.publishes() {
		if o.PublishURL == "" && o.PublishBody != "" {
			return usagef("flag -publish-body needs -publish-url")
		}
		if o.PublishURL != "" {
			p, err := url.Parse(o.publishURL("0", "0", "0"))
			if err != nil || p.Scheme != "http" && p.Scheme != "https" || p.Host == "" {
				return usagef("bad -publish-url %q: it must begin with http:// or https:// and name a host", o.PublishURL)
			}
			if err := o.checkHost(ctx, p.Hostname()); err != nil {
				return err
			}
		}
	} else if o.PublishURL != "" {
		return usagef("flag -publish-url needs -rate or -storm")
	}
	return o.checkHost(ctx, u.Hostname())
}

// publishes reports whether the bench puts events in.
func (o *Options) publishes() bool { return o.Rate > 0 || o.Storm }

func (o *Options) publishURL(t, n, data string) string {
	return strings.NewReplacer("{t}", t, "{n}", n, "{data}", url.QueryEscape(data)).Replace(o.PublishURL)
}

// checkHost refuses hosts that are not this one: a load test is an attack when
// it is aimed at somebody who does not expect it.
func (o *Options) checkHost(ctx context.Context, host string) error {
	if o.AllowRemote {
		return nil
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return fmt.Errorf("look up %s: %w", host, err)
	}
	for _, a := range addrs {
		if !a.IP.IsLoopback() {
			return usagef("%s is not this machine; a load test can put a server down. Add -allow-remote if the server is yours", host)
		}
	}
	return nil
}

// command is what the flags say beyond Options.
type command struct {
	Options
	json, quiet, strict bool
	html                string
}

const usage = `Weir bench measures a Server-Sent Events server: Weir, or anybody's.

Usage:
  weir bench [flags] URL

It opens many streams, publishes numbered events that carry the time at which
each was to be sent, and checks on every connection that each event comes, once
and in order. Latency counts from the intended time, so a server (or a bench)
that falls behind cannot hide it. A URL without a path stands for
/sse-stream?format=json.

Examples:
  weir bench -c 1000 -rate 20 -token s3cret 'http://127.0.0.1:8080/sse-stream?topic=bench&format=json'
      publish to Weir: start it with -source bench=http -publish-token s3cret
      -max-conns-per-client 0 -connect-rate 0 -publish-rate 0
  weir bench -c 1000 -rate 1000 -pid $(pidof weir) -html report.html -token s3cret URL
      as above, with the server's CPU a delivery and memory a connection, and plots
  weir bench -c 5000 -storm -replay 1000 -token s3cret URL
      everybody is cut off, and comes back at once for 1,000 missed events
  weir bench -c 9000 -d 30s -pid 4242 http://127.0.0.1:3000/events
      listen only: any SSE server; what idle connections cost
  weir bench -rate 100 -publish-url http://127.0.0.1:3000/.well-known/mercure \
      -publish-type application/x-www-form-urlencoded -publish-body 'topic=bench&data={data}' \
      -publish-header 'Authorization: Bearer eyJ…' 'http://127.0.0.1:3000/.well-known/mercure?topic=bench'
      another server: one request for each event, by template

Flags:
`

const usageEnd = `
The report goes to stdout, progress to stderr. The bench ends by itself.
Exit status: 0; 1 when no stream could be opened or, with -strict, when an event
was lost, repeated or out of order; 2 for a mistake in the flags.
`

// headerFlag collects "Name: value" flags.
type headerFlag struct{ h *http.Header }

func (headerFlag) String() string { return "" }

func (f headerFlag) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" || strings.ContainsAny(name, " \r\n") || strings.ContainsAny(value, "\r\n\x00") {
		return errors.New("want 'Name: value'")
	}
	if *f.h == nil {
		*f.h = make(http.Header)
	}
	f.h.Add(name, value)
	return nil
}

// parse reads the flags. The error is flag.ErrHelp when help was asked for.
func parse(args []string) (*command, *flag.FlagSet, error) {
	c := new(command)
	f := flag.NewFlagSet("weir bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.IntVar(&c.Connections, "c", 100, "how many streams (`connections`) to open")
	f.Float64Var(&c.Ramp, "ramp", 2000, "open so many streams a `second`")
	f.DurationVar(&c.Duration, "d", 10*time.Second, "measure for so long (`time`) once all are open")
	f.Float64Var(&c.Rate, "rate", 0, "publish so many `events` a second; 0 publishes none and listens only")
	f.IntVar(&c.Size, "size", 200, "`bytes` of data in each event")
	f.DurationVar(&c.Tick, "tick", time.Millisecond, "shortest `time` between two publish requests; what is due goes in one")
	f.DurationVar(&c.Gather, "gather", 250*time.Microsecond, "`time` from one look at the streams to the next: it counts as latency, and spares the server the cost of waking the bench for every write")
	f.DurationVar(&c.Warmup, "warmup", 0, "publish for so long (`time`) before the measurement begins")
	f.StringVar(&c.Token, "token", "", "bearer `token` for publishing (default $WEIR_PUBLISH_TOKEN)")
	f.StringVar(&c.PublishURL, "publish-url", "", "publish by one POST for each event to this `URL`; {t}, {n} and {data} stand for its time, number and JSON (default: NDJSON to /publish of the stream's host)")
	f.StringVar(&c.PublishBody, "publish-body", "", "the `body` of that POST, with the same placeholders (default {data})")
	f.StringVar(&c.PublishType, "publish-type", "", "its content `type`; for a form, {data} is escaped (default application/json)")
	f.Var(headerFlag{&c.PublishHeader}, "publish-header", "a `header` for publishing, as 'Name: value'; may be repeated")
	f.Var(headerFlag{&c.Header}, "header", "a `header` for the streams, as 'Name: value'; may be repeated")
	f.IntVar(&c.PID, "pid", 0, "the server's `process`: report its CPU a delivery and memory a connection (Linux)")
	f.BoolVar(&c.Storm, "storm", false, "cut all streams, publish, and let all clients come back at once")
	f.IntVar(&c.Replay, "replay", 1000, "`events` that each client of a storm has missed")
	f.IntVar(&c.Slow, "slow", 0, "so many `connections` more that stop reading once they are open")
	f.IntVar(&c.Subjects, "subjects", 0, "give each event one of so many `subjects` in turn, and each stream one of them (Weir)")
	f.IntVar(&c.Topics, "topics", 0, "measure topics on demand: make so many `topics`, the * in the URL's topic replaced, and tell what one costs, and how fast another's first event is (Weir)")
	f.BoolVar(&c.ReadAll, "read-all", false, "with -subjects, have each stream read them all")
	f.BoolVar(&c.HTTP2, "h2", false, "HTTP/2: with TLS for https, with prior knowledge (h2c) for http")
	f.IntVar(&c.Streams, "streams", 100, "`streams` for each HTTP/2 connection")
	f.BoolVar(&c.Gzip, "gzip", false, "ask for compression")
	f.IntVar(&c.Workers, "workers", 0, "`goroutines` that read HTTP/1.1 connections (default: half the CPUs, at most 4)")
	f.DurationVar(&c.ConnectTimeout, "connect-timeout", 10*time.Second, "how long (`time`) a stream may take to open")
	f.DurationVar(&c.Settle, "settle", 500*time.Millisecond, "wait so long (`time`) after the last stream has opened")
	f.DurationVar(&c.Drain, "drain", 10*time.Second, "wait so long (`time`) at most for events on their way")
	f.BoolVar(&c.Insecure, "insecure", false, "take any certificate")
	f.BoolVar(&c.AllowRemote, "allow-remote", false, "allow a host other than this one")
	f.BoolVar(&c.Portable, "portable", false, "one goroutine per connection even on Linux")
	f.BoolVar(&c.json, "json", false, "report as JSON")
	f.StringVar(&c.html, "html", "", "also write a report with plots to this `file`")
	f.BoolVar(&c.quiet, "q", false, "no progress on stderr")
	f.BoolVar(&c.strict, "strict", false, "fail when an event was lost, repeated or out of order")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, f, err
		}
		return nil, f, &UsageError{err}
	}
	for name, value := range map[string]float64{
		"c": float64(c.Connections), "ramp": c.Ramp, "d": float64(c.Duration), "size": float64(c.Size),
		"tick": float64(c.Tick), "gather": float64(c.Gather), "replay": float64(c.Replay), "streams": float64(c.Streams),
		"connect-timeout": float64(c.ConnectTimeout), "drain": float64(c.Drain),
	} {
		if value <= 0 {
			return nil, f, usagef("flag -%s must be above 0", name)
		}
	}
	switch f.NArg() {
	case 0:
	case 1:
		c.URL = f.Arg(0)
	default:
		return nil, f, usagef("one URL, please, behind the flags: %q is too much", f.Arg(1))
	}
	if c.Token == "" {
		c.Token = os.Getenv("WEIR_PUBLISH_TOKEN")
	}
	return c, f, nil
}

func printUsage(w io.Writer, f *flag.FlagSet) {
	fmt.Fprint(w, usage)
	f.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		head := "  -" + f.Name
		if name != "" {
			head += " " + name
		}
		if d := f.DefValue; d != "" && d != "0" && d != "false" && d != "0s" && !strings.Contains(text, "(default") {
			text += " (default " + d + ")"
		}
		fmt.Fprintf(w, "%s\n        %s\n", head, text)
	})
	fmt.Fprint(w, usageEnd)
}
