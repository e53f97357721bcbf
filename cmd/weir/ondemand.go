package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/stream"
	"weir/web/rights"
)

// Defaults of topics that are made on demand.
const (
	defaultIdleTTL   = time.Hour
	defaultMaxTopics = 100_000
)

// A demand says which topics are made when they are first read or published to,
// and how.
type demand struct {
	pattern rights.Pattern
	opts    stream.TopicOptions
}

// demandSettings are the flags about topics on demand.
func (c *config) demandSettings() []setting {
	return []setting{
		{name: "topics", value: "PATTERN", many: true, group: groupServing, usage: "create topics on first use: NAME, or a pattern such as run.*; options after commas; may be given more than once" +
			"\nttl=DURATION: remove a topic after this long without readers and events, and forget that it had ended (default 1h)" +
			"\nmax=N: at most this many at once; beyond it, those without events and readers make room (default 100000)" +
			"\nhistory=N, bytes=N: in place of -history and -history-bytes", set: c.addDemand},
		{name: "play", group: groupServing, usage: "any topic, and no tokens: for trying things out, on a loopback address alone; requests through proxies that show themselves (by a header, or HTTP/1.0), or from other sites' pages, are refused", set: boolean(&c.play)},
	}
}

func (c *config) addDemand(text string) error {
	d, err := parseDemand(text)
	c.demands = append(c.demands, d)
	return err
}

func parseDemand(text string) (demand, error) {
	parts := strings.Split(text, ",")
	pattern, err := rights.ParsePattern(parts[0])
	if err != nil {
		return demand{}, err
	}
	d := demand{pattern, stream.TopicOptions{Label: parts[0], IdleTTL: defaultIdleTTL, Max: defaultMaxTopics}}
	given := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		if given[name] {
			return d, fmt.Errorf("%s is given twice", name)
		}
		given[name] = true
		var err error
		switch name {
		case "ttl":
			err = duration(&d.opts.IdleTTL, time.Second, 365*24*time.Hour)(value)
		case "max":
			err = whole(&d.opts.Max, 1, 10_000_000)(value)
		case "history":
			err = whole(&d.opts.History, 1, 10_000_000)(value)
		case "bytes":
			err = whole(&d.opts.Bytes, 1<<10, 1<<40)(value)
		default:
			return d, errors.New("want a pattern, and after it, set off by commas, ttl=DURATION, max=N, history=N or bytes=N, such as run.*,ttl=1h,max=1000")
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", name, err)
		}
	}
	return d, nil
}

// allDemands are those of -topics, and that of -play, which matches the others, too.
func (c *config) allDemands() []demand {
	if !c.play {
		return c.demands
	}
	play := demand{rights.Any, stream.TopicOptions{Label: string(rights.Any), IdleTTL: defaultIdleTTL, Max: 10_000}}
	return append(c.demands[:len(c.demands):len(c.demands)], play)
}

// onDemand returns what says whether a topic may be made: the first pattern that
// matches its name does. It returns nil where there is none.
func (c *config) onDemand() func(topic string) (stream.TopicOptions, bool) {
	demands := c.allDemands()
	if len(demands) == 0 {
		return nil
	}
	return func(topic string) (stream.TopicOptions, bool) {
		for _, d := range demands {
			if d.pattern.Covers(rights.Pattern(topic)) {
				return d.opts, true
			}
		}
		return stream.TopicOptions{}, false
	}
}

// demanded are the patterns of the topics that are made on demand.
func (c *config) demanded() []string {
	if c.play {
		return []string{string(rights.Any)} // it matches the others, too
	}
	patterns := make([]string, len(c.demands))
	for i, d := range c.demands {
		patterns[i] = string(d.pattern)
	}
	return patterns
}

// demandLabels are what the metrics of topics on demand go by. Their series are there
// before the first topic, so that the first thing that goes wrong is an increase.
func (c *config) demandLabels() (labels []string) {
	for _, d := range c.allDemands() {
		labels = append(labels, d.opts.Label)
	}
	return labels
}

// checkPlay refuses what does not go together with -play: it is for one machine,
// where nobody needs a right.
func (c *config) checkPlay() error {
	switch {
	case !c.play:
		return nil
	case !loopback(c.addr):
		return usagef("flag -play is for a loopback address, such as -addr 127.0.0.1:8080: on %s everybody could publish", c.addr)
	case c.rights.PublishToken != "" || c.rights.SubscribeToken != "" || c.rights.TokenFile != "" || c.rights.Keys != "":
		return usagef("flag -play goes without tokens: leave it out, or -publish-token, -subscribe-token, -token-file and -jwt-keys")
	case len(c.corsOrigins) > 0 || len(c.hosts) > 0 || len(c.limits.Proxies) > 0:
		return usagef("flag -play is for this machine alone: leave it out, or -cors-origin, -host and -trusted-proxy")
	}
	return nil
}

// invitation is what -play prints: three lines that can be pasted.
func invitation(url string) string {
	return fmt.Sprintf(`try, each in a terminal of its own:
  curl -N %[1]s/t/demo
  curl -d 'hello' %[1]s/t/demo
  xdg-open %[1]s/t/demo
`, url)
}
