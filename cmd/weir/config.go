package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/source"
	"weir/web"
	"weir/web/rights"
)

// A usageError is a mistake in the flags or the environment, or in what a file says that
// they name: exit status 2, so that whoever starts Weir again and again need not try. What
// may work the next time, such as a Redis that is not there yet, is none.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A feed is a topic and its source, which nothing has run yet.
type feed struct {
	topic  string
	source stream.Source
}

// config is what the flags say.
type config struct {
	kinds           source.Kinds // of sources
	addr, adminAddr string
	sources         []string // as given
	sourcesFrom     string   // where they were given
	feeds           []feed   // made of them
	history         int
	historyBytes    int64
	heartbeat       time.Duration
	writeTimeout    time.Duration
	retry           time.Duration
	lifetime        time.Duration
	drain           time.Duration
	pace            time.Duration
	transport       string
	compress        bool
	rights          rights.Options
	limits          web.Limits
	corsOrigins     []string
	hosts           []string
	demands         []demand
	play            bool
	redis           string
	redisWait       bool
	data            string
	sync            bool
	node            string
	jaegerUI        string
	tlsCert, tlsKey string
	eventTraces     int
	logLevel        slog.Level
	exposed         []string // flags whose value is a secret
}

// A setting is one flag, which is also an environment variable.
type setting struct {
	name  string
	value string // placeholder; empty for a switch
	def   string // the default, as the user would write it
	group string
	usage string
	set   func(string) error
	many  bool // may be given more than once
	// secret reports whether a value is one. On the command line every user of
	// the machine can read it.
	secret func(string) bool
	tells  bool // def tells how the default is found; it is not a value
}

// The groups of the settings: their headings in help.
const (
	groupServing   = "Serving"
	groupStreams   = "Streams"
	groupAccess    = "Access"
	groupLimits    = "Limits (0: no limit)"
	groupKeeping   = "Several nodes, restarts"
	groupObserving = "Observing (and the standard OTEL_… variables)"
)

// env is the name of the setting's environment variable.
func (s setting) env() string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

func defaultNode() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "weir"
}

// settings lists every flag in the order in which help shows them: those of a
// group one after the other.
func (c *config) settings() []setting {
	serving := []setting{
		{name: "addr", value: "HOST:PORT", def: "127.0.0.1:8080", group: groupServing, usage: "address to listen on; port 0 picks a free one, which is printed", set: address(&c.addr)},
		{name: "source", value: "SPEC", def: "sensor, host", many: true, group: groupServing, usage: "where events come from, as [topic=]kind[:argument]; replaces the two that are there by default (x=http makes nothing by itself); may be given more than once (in the environment: one a line); kinds: " + strings.Join(c.kinds.Names(), ", "), set: c.addSource},
		{name: "history", value: "N", def: strconv.Itoa(eventlog.DefaultHistory), group: groupServing, usage: "events that a topic keeps at most, for clients that come back", set: whole(&c.history, 1, 10_000_000)},
		{name: "history-bytes", value: "N", def: strconv.Itoa(eventlog.DefaultBytes), group: groupServing, usage: "bytes that a topic keeps at most; the newest event is kept however large", set: whole(&c.historyBytes, 1<<10, 1<<40)},
		{name: "node", value: "NAME", def: "the host name", tells: true, group: groupServing, usage: "name of this node, told to clients and in the cluster view", set: text(&c.node)},
		{name: "tls-cert", value: "FILE", group: groupServing, usage: "certificate chain in PEM; with -tls-key, serves HTTPS and HTTP/2", set: text(&c.tlsCert)},
		{name: "tls-key", value: "FILE", group: groupServing, usage: "private key in PEM", set: text(&c.tlsKey)},
		{name: "admin-addr", value: "HOST:PORT", group: groupServing, usage: "second listener for /metrics, connection details, /streams and /traces, which then leave the first, and for /debug/pprof", set: address(&c.adminAddr)},
	}
	streams := []setting{
		{name: "heartbeat", value: "DURATION", def: "15s", group: groupStreams, usage: "ping a stream after this long without an event", set: duration(&c.heartbeat, 100*time.Millisecond, time.Hour)},
		{name: "write-timeout", value: "DURATION", def: "10s", group: groupStreams, usage: "cut a client for which a write has waited this long, unless it is seen to take something; a write waits once the buffers on the way are full", set: duration(&c.writeTimeout, 100*time.Millisecond, time.Hour)},
		{name: "retry", value: "DURATION", def: "2s", group: groupStreams, usage: "how long clients are told to wait before they come back", set: duration(&c.retry, time.Millisecond, time.Hour)},
		{name: "pace", value: "DURATION", def: "5ms", group: groupStreams, usage: "after a write, hold events for this long so that several go out together; up to 5 times as long under CPU load, 20 times in overload; 0: no delay", set: duration(&c.pace, 0, time.Second)},
		{name: "transport", value: "NAME", def: transportAuto, group: groupStreams, usage: "auto: on Linux, a few goroutines write to all plain HTTP/1.1 streams; net/http: a goroutine for each", set: oneOf(&c.transport, transportAuto, transportPlain)},
		{name: "compress", group: groupStreams, usage: "serve gzip to clients that accept it; each event is compressed once for all of them", set: boolean(&c.compress)},
		{name: "lifetime", value: "DURATION", def: "0s", group: groupStreams, usage: "end a stream at this age, give or take a tenth; clients come back; 0 never does", set: duration(&c.lifetime, 0, 365*24*time.Hour)},
		{name: "drain", value: "DURATION", def: "5s", group: groupStreams, usage: "on SIGTERM or Ctrl-C, end the open streams spread over this long; who takes nothing is cut off 2s later; a second signal ends at once", set: duration(&c.drain, 0, time.Hour)},
	}
	keeping := []setting{
		{name: "redis", value: "URL", group: groupKeeping, usage: "share topics with other nodes through Redis, such as redis://:password@host:6379/0; also rediss:// (TLS), unix:///path, redis+sentinel://host:port,host:port/master-name and redis+cluster://host:port,host:port", set: text(&c.redis), secret: hasPassword},
		{name: "redis-wait", group: groupKeeping, usage: "when Redis cannot be reached at the start, wait for it", set: boolean(&c.redisWait)},
		{name: "data", value: "DIR", group: groupKeeping, usage: "keep topics on disk here, so that a restart loses nothing", set: text(&c.data)},
		{name: "sync", group: groupKeeping, usage: "with -data, acknowledge an event only once it would survive a power cut", set: boolean(&c.sync)},
	}
	observing := []setting{
		{name: "event-traces", value: "N", def: "50", group: groupObserving, usage: "trace at most this many events that come at once, and then at most this many a second, while they make no more than 1.5 times as many spans (72 in any case); those that turn out late (5 a second at most), and traces that others have begun, come besides; OTEL_TRACES_SAMPLER overrides it", set: whole(&c.eventTraces, 0, 1_000_000)},
		{name: "jaeger-ui", value: "URL", def: "http://127.0.0.1:16686 when it answers", tells: true, group: groupObserving, usage: "where the page's links to traces lead", set: httpURL(&c.jaegerUI)},
		{name: "log-level", value: "LEVEL", def: "info", group: groupObserving, usage: "least severe level to log: debug, info, warn or error", set: level(&c.logLevel)},
	}
	return slices.Concat(serving, c.demandSettings(), streams, c.accessSettings(), keeping, observing)
}

// parseConfig reads the environment, then the flags, which win.
func parseConfig(args, environ []string, stdout io.Writer, kinds source.Kinds) (*config, error) {
	c := &config{kinds: kinds, sourcesFrom: "WEIR_SOURCE", node: defaultNode()}
	c.limits.Sockets, c.limits.SocketsPerClient = -1, -1 // derived, unless given
	settings := c.settings()
	for _, s := range settings {
		if s.def != "" && !s.many && !s.tells {
			if err := s.set(s.def); err != nil {
				return nil, fmt.Errorf("default of -%s: %w", s.name, err)
			}
		}
	}
	if err := c.fromEnviron(settings, environ); err != nil {
		return nil, err
	}
	flags := flag.NewFlagSet("weir", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	given := map[string]bool{}
	for _, s := range settings {
		set := func(value string) error {
			if s.many && !given[s.name] {
				c.forget(s.name) // flags replace what the environment says
			}
			given[s.name] = true
			if s.secret != nil && s.secret(value) {
				c.exposed = append(c.exposed, "-"+s.name)
			}
			return s.set(value)
		}
		if s.value == "" {
			flags.BoolFunc(s.name, s.usage, set)
		} else {
			flags.Func(s.name, s.usage, set)
		}
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		printHelp(stdout, settings)
		return nil, flag.ErrHelp
	case err != nil:
		return nil, usageError{err}
	case flags.NArg() > 0:
		return nil, usagef("unknown command %q: commands are bench, version, help; without one, weir serves", flags.Arg(0))
	}
	return c, c.check()
}

func (c *config) fromEnviron(settings []setting, environ []string) error {
	values := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, "WEIR_") {
			values[name] = value
		}
	}
	for _, s := range settings {
		value, present := values[s.env()]
		delete(values, s.env())
		if !present || value == "" {
			continue
		}
		parts := []string{value}
		if s.many {
			parts = strings.FieldsFunc(value, func(r rune) bool { return r == '\n' })
		}
		for _, part := range parts {
			if err := s.set(part); err != nil {
				return usagef("invalid value %q for %s: %w", part, s.env(), err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !serviceLink.MatchString(name) {
			return usagef("unknown variable %s: each flag in weir --help has one, such as WEIR_ADDR for -addr", name)
		}
	}
	return nil
}

// serviceLink matches the variables by which Kubernetes tells every container
// of a service that happens to be called weir, or weir-something.
var serviceLink = regexp.MustCompile(`^WEIR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func (c *config) forget(name string) {
	switch name {
	case "source":
		c.sources, c.sourcesFrom = nil, "flag -source"
	case "cors-origin":
		c.corsOrigins = nil
	case "trusted-proxy":
		c.limits.Proxies = nil
	case "host":
		c.hosts = nil
	case "topics":
		c.demands = nil
	}
}

// check refuses settings that do not go together.
func (c *config) check() error {
	c.deriveSockets()
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return usagef("flags -tls-cert and -tls-key go together: give both or neither")
	case c.redis != "" && c.data != "":
		return usagef("flags -redis and -data exclude each other: Redis keeps the events already")
	case c.redisWait && c.redis == "":
		return usagef("flag -redis-wait needs -redis")
	case c.rights.Audience != "" && c.rights.Keys == "":
		return usagef("flag -jwt-audience needs -jwt-keys")
	case c.sync && c.data == "":
		return usagef("flag -sync needs -data")
	}
	if err := c.checkPlay(); err != nil {
		return err
	}
	return c.openSources()
}

// addSource notes a source. It is opened when all are known, since flags
// replace what the environment says.
func (c *config) addSource(spec string) error {
	_, err := c.kinds.Parse(spec)
	c.sources = append(c.sources, spec)
	return err
}

// openSources opens each source, once, so that a bad argument is told in one
// line before anything starts.
func (c *config) openSources() error {
	if len(c.sources) == 0 {
		c.sources = []string{"sensor", "host"}
	}
	topics := map[string]string{}
	for _, text := range c.sources {
		spec, err := c.kinds.Parse(text)
		if err != nil {
			return usagef("invalid value %q for %s: %w", text, c.sourcesFrom, err)
		}
		if other, taken := topics[spec.Topic]; taken {
			return usagef("%s: %q and %q are one topic, %s: name them apart, as name=%s", c.sourcesFrom, other, text, spec.Topic, text)
		}
		topics[spec.Topic] = text
		s, err := spec.Open()
		if err != nil {
			return usagef("invalid value %q for %s: %w", text, c.sourcesFrom, err)
		}
		c.feeds = append(c.feeds, feed{spec.Topic, s})
	}
	return nil
}
