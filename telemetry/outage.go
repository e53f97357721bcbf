package telemetry

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"weir/stream"
)

const (
	// outageFirst is after how long an outage is told of again. Each time that is twice
	// as long, up to outageMost.
	outageFirst = time.Minute
	outageMost  = time.Hour
	// outageStale is after how long a topic that fails no more, and was not well either,
	// is no part of an outage: it was removed. One that is there is tried again sooner.
	outageStale = 2 * time.Minute
	// brokerGather is how long it is waited for more topics to fail, or to be well,
	// before it is told how many there are.
	brokerGather = time.Second
	// A broker is well again when it was for brokerSteady, a source for sourceSteady,
	// which is longer than the wait before a source is run again: one that crashes each
	// time after its first line does not fail anew each time.
	brokerSteady = 5 * time.Second
	sourceSteady = 20 * time.Second
)

// outages write how sources and the broker do. Any goroutine may call source.
type outages struct {
	write func(level slog.Level, message string, attrs ...slog.Attr)

	mu      sync.Mutex
	broker  *outage            // nil: it is well
	sources map[string]*outage // of those that fail, by topic
	fresh   map[string]string  // topics to which the broker is well since a moment, and their labels
	closed  bool               // nothing is told later
}

// close tells at once of a failure that was to be told later. After that nothing is
// told later.
func (o *outages) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if o.closed = true; o.broker != nil && o.broker.gathers {
		o.broker.tell()
	}
}

// An outage is that a source or the broker fails, from the first failure until it is
// well again. The log has one line when it begins, one when it counts as down, one
// after a minute and at growing intervals, and one when it is over. A broker is one
// thing, however many topics it carries: the lines say how many of them fail. Guarded
// by outages.mu.
type outage struct {
	*outages
	what           string // source or broker
	gather, steady time.Duration
	over           func()

	began, healed time.Time
	topics        map[string]failing // that fail now, by name
	label         string             // of all; "" when there are several
	affected      int                // topics, the most at a time
	failures      int
	err           error // the last
	told          int   // topics when it was last told of; 0: it has not been told of
	down          bool  // told of
	interval      time.Duration
	next          *time.Timer // tells of it again
	gathers, ends bool        // a timer runs
}

// failing is a topic in an outage.
type failing struct {
	last time.Time
	down bool
}

// source writes how a source or the broker of a topic does. The label stands for the
// topic.
func (o *outages) source(c stream.SourceChange, label string) {
	what := "source"
	if c.Broker {
		what = "broker"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch c.State {
	case stream.SourceStarting:
		o.write(slog.LevelDebug, what+" starting", slog.String("topic", label))
	case stream.SourceFailing, stream.SourceDown:
		if c.Broker {
			delete(o.fresh, c.Topic)
		}
		o.of(c).failed(c, label)
	case stream.SourceUp:
		if was := o.failing(c); was != nil && was.recovered(c.Topic) {
			return
		}
		o.up(c, label)
	case stream.SourceEnded:
		was := o.failing(c)
		switch {
		case c.Broker: // the topic was removed, which says nothing of the broker
			if delete(o.fresh, c.Topic); was != nil {
				was.left(c.Topic)
			}
			return
		case was != nil:
			was.end()
		}
		o.write(slog.LevelInfo, what+" ended", slog.String("topic", label))
	}
}

// up tells that a source or a broker is well that has not failed before.
func (o *outages) up(c stream.SourceChange, label string) {
	switch {
	case label != c.Topic: // made on demand: there may be very many
		return
	case !c.Broker:
		o.write(slog.LevelInfo, "source up", slog.String("topic", label))
		return
	case o.fresh == nil:
		o.fresh = make(map[string]string)
		time.AfterFunc(brokerGather, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.closed || len(o.fresh) == 0 { // or they have failed since
				o.fresh = nil
				return
			}
			attrs := []slog.Attr{slog.Int("topics", len(o.fresh))}
			for _, label := range o.fresh {
				if len(o.fresh) == 1 {
					attrs = append(attrs, slog.String("topic", label))
				}
			}
			o.fresh = nil
			o.write(slog.LevelInfo, "broker up", attrs...)
		})
	}
	o.fresh[c.Topic] = label
}

// failing returns the outage that there is, or nil.
func (o *outages) failing(c stream.SourceChange) *outage {
	if c.Broker {
		return o.broker
	}
	return o.sources[c.Topic]
}

// of returns the outage that a failure is part of.
func (o *outages) of(c stream.SourceChange) *outage {
	if was := o.failing(c); was != nil {
		if !was.orphaned() {
			return was
		}
		was.end() // what fails now is told anew
	}
	n := &outage{outages: o, what: "source", steady: sourceSteady, began: time.Now(), topics: make(map[string]failing), interval: outageFirst}
	if c.Broker {
		n.what, n.gather, n.steady = "broker", brokerGather, brokerSteady
		o.broker, n.over = n, func() { o.broker = nil }
	} else {
		if o.sources == nil {
			o.sources = make(map[string]*outage)
		}
		o.sources[c.Topic], n.over = n, func() { delete(o.sources, c.Topic) }
	}
	n.next = n.after(n.interval, n.again)
	return n
}

// after calls f later, unless the outage is over by then, or nothing is told any more.
func (n *outage) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.next != nil && !n.closed {
			f()
		}
	})
}

func (n *outage) failed(c stream.SourceChange, label string) {
	switch {
	case n.failures == 0:
		n.label = label
	case n.label != label:
		n.label = ""
	}
	n.topics[c.Topic] = failing{time.Now(), c.State == stream.SourceDown}
	n.affected = max(n.affected, len(n.topics))
	n.failures++
	n.err = c.Err
	switch news := n.told == 0 || c.State == stream.SourceDown && !n.down || len(n.topics) >= 2*n.told; {
	case !news || n.gathers:
	case n.gather == 0, n.closed:
		n.tell()
	default:
		n.gathers = true
		n.after(n.gather, func() {
			n.gathers = false
			n.tell()
		})
	}
}

// tell tells of it.
func (n *outage) tell() {
	level, message := slog.LevelWarn, n.what+" failed"
	for _, f := range n.topics {
		n.down = n.down || f.down
	}
	if n.down {
		level, message = slog.LevelError, n.what+" down"
	}
	topics := len(n.topics)
	if topics == 0 { // they are well again already
		topics = n.affected
	}
	attrs := n.attrs(topics)
	if age := time.Since(n.began); n.told > 0 && age > outageFirst/2 {
		attrs = append(attrs, slog.String("for", readable(age)))
	}
	n.told = topics
	n.write(level, message, append(attrs, slog.Any("error", n.err))...)
}

func (n *outage) attrs(topics int) (attrs []slog.Attr) {
	if n.label != "" {
		attrs = append(attrs, slog.String("topic", n.label))
	}
	if n.what == "broker" {
		attrs = append(attrs, slog.Int("topics", topics))
	}
	return append(attrs, slog.Int("failures", n.failures))
}

// again tells of an outage that goes on.
func (n *outage) again() {
	maps.DeleteFunc(n.topics, func(_ string, f failing) bool { return time.Since(f.last) > outageStale })
	switch {
	case len(n.topics) > 0:
		n.tell()
	case n.ends, n.what == "broker": // another topic will say how the broker is
	default: // what failed was removed
		n.healed = time.Now()
		n.end()
		return
	}
	n.interval = min(2*n.interval, outageMost)
	n.next.Reset(n.interval)
}

// recovered takes a topic out that is well. It reports whether the outage knew of it.
func (n *outage) recovered(topic string) bool {
	if _, is := n.topics[topic]; !is && !n.orphaned() {
		return n.ends && n.what == "source" // it is known already that it is well
	}
	delete(n.topics, topic)
	n.healed = time.Now()
	n.heals()
	return true
}

// heals sees to it that the outage ends, if no topic fails any more.
func (n *outage) heals() {
	if len(n.topics) == 0 && !n.ends {
		n.ends = true
		n.after(n.steady, n.well)
	}
}

// left takes a topic out that was removed. Where others are well since it failed last,
// the broker is.
func (n *outage) left(topic string) {
	f, is := n.topics[topic]
	delete(n.topics, topic)
	if is && n.healed.After(f.last) {
		n.heals()
	}
}

// orphaned reports whether all topics that failed were removed, so that it is not known
// how the broker is.
func (n *outage) orphaned() bool { return len(n.topics) == 0 && !n.ends && n.told > 0 }

// well ends it, unless it has failed anew.
func (n *outage) well() {
	n.ends = false
	switch left := n.steady - time.Since(n.healed); {
	case len(n.topics) > 0:
	case left > 0:
		n.ends = true
		n.after(left, n.well)
	default:
		n.end()
	}
}

// end tells that it is over.
func (n *outage) end() {
	n.next.Stop()
	n.next = nil
	n.over()
	if n.told == 0 {
		n.tell()
	}
	if n.healed.IsZero() {
		return
	}
	n.write(slog.LevelInfo, n.what+" up", append(n.attrs(n.affected), slog.String("after", readable(n.healed.Sub(n.began))))...)
}
