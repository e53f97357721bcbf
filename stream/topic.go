package stream

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/stream/eventlog"
	"weir/stream/internal/fanout"
	"weir/stream/sse"
)

// TopicOptions configure a topic. The zero value works. A History, Bytes or Pace
// of zero is taken from [HubOptions.Topic]; the other fields are not.
type TopicOptions struct {
	// History is how many events the topic keeps in this process. A broker has a
	// bound of its own for what it keeps. Default: 4096.
	History int
	// Bytes bounds what the topic keeps in memory: events, with all their
	// encodings. The newest event is kept whatever its size. Default: 64 MB (64,000,000).
	Bytes int64
	// Pace is how long connections gather events, to write them together. An event
	// that comes within this time of the last write waits until the time is over;
	// after a pause of that length an event is written at once. Where the
	// processors are short of time, an event waits up to 5 times the pace in all,
	// or 20 times when nothing else helps. Default: 0, every event is written at
	// once.
	Pace time.Duration
	// Label stands for the topic's name in metrics, logs and the names of spans:
	// give topics that are made on demand one label for all. Default: the name.
	Label string
	// Max is how many topics with the same label there may be, of those that are
	// made on demand. When there are as many, those that hold no event and have no
	// reader make room for new ones. Default: 0, as many as are asked for.
	Max int
	// IdleTTL is after how long without readers and events a topic that was made
	// on demand is removed, also one that has ended: its name is free again then.
	// Default: 0, never.
	IdleTTL time.Duration
}

// or fills in what o leaves out.
func (o TopicOptions) or(d TopicOptions) TopicOptions {
	if o.History <= 0 {
		o.History = d.History
	}
	if o.Bytes <= 0 {
		o.Bytes = d.Bytes
	}
	if o.Pace <= 0 {
		o.Pace = d.Pace
	}
	return o
}

// label returns what stands for the name of a topic.
func (o TopicOptions) label(name string) string {
	if o.Label != "" {
		return o.Label
	}
	return name
}

// A topic is a log, the feeds of those who read it, and the health of what
// feeds it.
type topic struct {
	hub      *Hub
	name     string
	opts     TopicOptions
	log      *eventlog.Log
	onDemand bool
	gone     chan struct{} // closed when the topic is not the hub's any more

	mu       sync.Mutex
	formats  map[Format]*eventlog.Format
	feeds    map[feedKey]*feed
	source   SourceHealth
	running  int // sources
	broker   SourceHealth
	joined   chan struct{} // closed when the broker's backlog has been in the log; nil without a broker
	unfollow func()        // ends the broker's following; nil before it began
	readers  int
	used     time.Time // when somebody last read or published
	removed  bool

	// storing is held while a publication is put into the log, without a broker.
	storing    sync.Mutex
	checkpoint []byte
}

func newTopic(h *Hub, name string, opts TopicOptions, onDemand bool) *topic {
	name = strings.Clone(name) // not a piece of a request, which would be kept with it
	t := &topic{hub: h, name: name, opts: opts, onDemand: onDemand, gone: make(chan struct{}), used: time.Now()}
	log := eventlog.Options{History: opts.History, Bytes: opts.Bytes, Numbered: h.opts.Broker != nil}
	if receive := h.opts.Hooks.Receive; receive != nil && h.opts.Broker != nil {
		made := time.Now()
		log.Receive = func(e *Event) {
			if !t.past(e, made) {
				receive(name, e)
			}
		}
	}
	t.log = eventlog.New(log)
	if h.opts.Broker != nil {
		t.joined = make(chan struct{})
		t.broker = SourceHealth{State: SourceStarting, Since: time.Now()}
	}
	return t
}

// past reports whether an event is one that the broker held when the topic was made here:
// that is read from its history, and not received.
func (t *topic) past(e *Event, made time.Time) bool {
	select {
	case <-t.joined:
		return false
	default:
	}
	if e.Origin.Published.IsZero() {
		return e.ID.Time().Before(made)
	}
	return e.Origin.Published.Before(made)
}

// join counts a reader in and returns the feed that it reads. It fails when
// the topic has just been removed.
func (t *topic) join(filter eventlog.Filter, format *eventlog.Format) (*feed, bool) {
	view := t.log.View(filter)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed {
		view.Leave()
		return nil, false
	}
	key := feedKey{filter.String(), format}
	f := t.feeds[key]
	if f == nil {
		f = &feed{Feed: fanout.New(view, format, t.opts.Pace), key: key}
		if t.feeds == nil {
			t.feeds = make(map[feedKey]*feed)
		}
		t.feeds[key] = f
	}
	f.readers++
	t.readers++
	return f, true
}

// leave counts a reader out.
func (t *topic) leave(f *feed) {
	f.View().Leave()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = time.Now()
	t.readers--
	if f.readers--; f.readers == 0 {
		delete(t.feeds, f.key)
		f.Close()
	}
}

func (t *topic) label() string { return t.opts.label(t.name) }

// joinPatience is how long a reader waits for a topic that is joining its broker,
// as one does that was just made on demand.
const joinPatience = 2 * time.Second

// ready waits until the log may be served, and reports whether it may: before the
// broker's backlog is in, clients would be told of gaps that do not exist.
func (t *topic) ready(ctx context.Context) bool {
	if t.joined == nil {
		return true
	}
	select {
	case <-t.joined:
		return true
	default:
	}
	patience := time.NewTimer(joinPatience)
	defer patience.Stop()
	select {
	case <-t.joined:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// awaitGone waits until a topic that is being removed is not the hub's any more.
func (t *topic) awaitGone(ctx context.Context) error {
	select {
	case <-t.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// touch says that the topic is in use, and reports whether it is still there.
func (t *topic) touch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log.Ended() == "" { // a publication to a topic that has ended keeps nothing alive
		t.used = time.Now()
	}
	return !t.removed
}

// idle reports whether a topic's time is over, and marks it as removed then: no
// reader can join it any more.
func (t *topic) idle(now time.Time) bool {
	last := t.log.Last().Time()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed || t.readers > 0 || now.Sub(t.used) < t.opts.IdleTTL || now.Sub(last) < t.opts.IdleTTL {
		return false
	}
	t.removed = true
	return true
}

// unusedFor is for how long a topic is kept at least: whoever asked for it may be
// about to publish or to read.
const unusedFor = 10 * time.Second

// unused reports whether a topic holds nothing that anybody could miss, and marks
// it as removed then, as idle does.
func (t *topic) unused(now time.Time) bool {
	if t.joined != nil {
		select {
		case <-t.joined:
		default:
			return false // its events may be on their way
		}
	}
	empty := t.log.Stats().Entries == 0 && t.log.Ended() == ""
	t.mu.Lock()
	defer t.mu.Unlock()
	if !empty || t.readers > 0 || t.removed || now.Sub(t.used) < unusedFor {
		return false
	}
	t.removed = true
	return true
}

// format returns the topic's own form of a format, which entries know it by.
func (t *topic) format(name Format, f Formatter) *eventlog.Format {
	t.mu.Lock()
	defer t.mu.Unlock()
	made := t.formats[name]
	if made == nil {
		made = &eventlog.Format{Name: string(name), Encode: func(dst []byte, e *Event) (string, []byte, error) {
			return t.hub.encode(name, f, dst, t.name, e)
		}}
		if t.formats == nil {
			t.formats = make(map[Format]*eventlog.Format)
		}
		t.formats[name] = made
	}
	return made
}

// follow lets the broker feed the topic's log until the hub is closed or the
// topic removed. What the broker reports is told to hooks, which may ask the hub.
func (t *topic) follow() {
	stop := t.hub.opts.Broker.Follow(t.name, t.log, t.reported)
	t.mu.Lock()
	t.unfollow = stop
	removed := t.removed
	t.mu.Unlock()
	if removed || t.hub.ctx.Err() != nil { // RemoveTopic or Close may have come before there was anything to stop
		stop()
	}
}

// stopFollowing ends the following, if there is one, and waits for that.
func (t *topic) stopFollowing() {
	t.mu.Lock()
	stop := t.unfollow
	t.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// reported takes what the broker says of the topic: it is in touch and takes events, or not.
func (t *topic) reported(err error) {
	if err != nil {
		t.changed(&t.broker, SourceFailing, err)
		return
	}
	select {
	case <-t.joined:
	default: // reports come one after the other
		close(t.joined)
	}
	t.changed(&t.broker, SourceUp, nil)
}

// failuresToTell is how many failures in a row the clients hear of.
const failuresToTell = 3

// changed takes note of how the topic's source or broker does, and tells hooks
// and, of the third failure in a row, the clients.
func (t *topic) changed(health *SourceHealth, state SourceState, err error) {
	t.mu.Lock()
	before := health.State
	switch state {
	case SourceUp:
		health.Failures, health.Err = 0, nil
	case SourceFailing:
		health.Failures++
		health.Total++
		health.Err = err
		if health.Failures >= failuresToTell {
			state = SourceDown
		}
	}
	if before != state {
		health.State, health.Since = state, time.Now()
	}
	failures, since := health.Failures, health.Since
	t.mu.Unlock()
	if t.hub.opts.Hooks.Source != nil && (before != state || err != nil) {
		t.hub.opts.Hooks.Source(SourceChange{Topic: t.name, Broker: health == &t.broker, State: state, Failures: failures, Err: err})
	}
	if state == SourceUp && before == SourceDown && health == &t.broker {
		t.log.Recovered()
	}
	if state == SourceDown && before != SourceDown {
		what := "The source of this topic has failed repeatedly. The stream stays open and goes on when it recovers."
		if health == &t.broker {
			what = "The event broker cannot be reached, or takes no events. The stream stays open and goes on when that is over."
		}
		t.log.Announce(sse.EventStreamError, faultJSON(what, since), true)
	}
}

// store stores a publication: in the broker, or without one in the log.
func (t *topic) store(ctx context.Context, p *Publication) error {
	if broker := t.hub.opts.Broker; broker != nil {
		if t.log.Ended() != "" && !slices.ContainsFunc(p.Events, func(e *Event) bool { return e.ForeignID != "" }) {
			return ErrClosed // else the broker knows whether the events are in already
		}
		if err := t.log.Fits(p.Events); err != nil {
			return err // every node's log would lose the beginning
		}
		return broker.Publish(ctx, t.name, p)
	}
	t.storing.Lock()
	defer t.storing.Unlock()
	duplicate, err := t.log.Append(p.Events...)
	if err != nil {
		return err
	}
	p.Duplicate = duplicate
	if p.Checkpoint != nil {
		t.checkpoint = append([]byte(nil), p.Checkpoint...)
	}
	if p.End != "" {
		t.log.Close(p.End)
	}
	return nil
}

// lastCheckpoint returns the last checkpoint that was stored with the topic.
func (t *topic) lastCheckpoint(ctx context.Context) ([]byte, error) {
	if t.hub.opts.Broker == nil {
		t.storing.Lock()
		defer t.storing.Unlock()
		return append([]byte(nil), t.checkpoint...), nil
	}
	if c, ok := t.hub.opts.Broker.(Checkpointer); ok {
		return c.Checkpoint(ctx, t.name)
	}
	return nil, nil
}

// ran counts the sources that run.
func (t *topic) ran(change int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running += change
}

func (t *topic) health() TopicHealth {
	log := t.log.Stats()
	ended := t.log.Ended()
	t.mu.Lock()
	defer t.mu.Unlock()
	health := TopicHealth{Source: t.source, Log: log, Label: t.label(), Readers: t.readers, Ended: ended}
	if t.joined != nil {
		b := t.broker
		health.Broker = &b
	}
	return health
}
