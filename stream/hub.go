package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// FormatJSON is the representation that every topic has: CloudEvents JSON.
const FormatJSON = "json"

// ErrNoTopic marks, by errors.Is, a topic that does not exist.
var ErrNoTopic = errors.New("no such topic")

// HubOptions configure a [Hub]. The zero value works.
type HubOptions struct {
	// Log is for the logs of all topics. Its Encode is not used.
	Log LogOptions
	// Formats are further representations by name, each a function that makes
	// the payload of an event. A representation is a log of its own, made the
	// first time that somebody asks for it: rendered once for all connections.
	Formats map[string]func(dst []byte, topic string, e *Event) ([]byte, error)
	// Broker carries events across processes. Default: none.
	Broker Broker
	// Hooks observe.
	Hooks Hooks
	// Logger takes faults that concern no caller. Default: slog.Default().
	Logger *slog.Logger
}

// A Hub holds the topics of one server. Its methods may be called by any
// goroutine.
type Hub struct {
	opts   HubOptions
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // followers and sources

	mu     sync.RWMutex
	topics map[string]*topic
	order  []string
}

// A topic is a log, its representations, and the health of what feeds it.
type topic struct {
	name string
	log  *Log

	mu       sync.Mutex
	views    map[string]*Log
	source   SourceHealth
	broker   SourceHealth
	brokered bool
	joined   bool // the broker's backlog has been in the log
}

// SourceHealth tells how a topic's source (or broker) does.
type SourceHealth struct {
	State    SourceState
	Failures int // in a row
	Total    int // since the start
	Err      error
	Since    time.Time // of the state
}

// NewHub returns a hub without topics.
func NewHub(opts HubOptions) *Hub {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	h := &Hub{opts: opts, topics: make(map[string]*topic)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Close ends the hub's sources and followers and waits for them. The topics do
// not end by it: clients shall come back to the next process.
func (h *Hub) Close() {
	h.cancel()
	h.work.Wait()
}

// AddTopic makes a topic. It is an error when the name is taken or not valid.
func (h *Hub) AddTopic(name string) error {
	if !ValidTopic(name) {
		return fmt.Errorf("bad topic %q: 1 to 64 letters, digits, dots, dashes and underscores", name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[name] != nil {
		return fmt.Errorf("topic %q exists already", name)
	}
	opts := h.opts.Log
	opts.Encode = nil
	if receive := h.opts.Hooks.Receive; receive != nil {
		opts.receive = func(e *Event) { receive(name, e) }
	}
	t := &topic{name: name, log: NewLog(opts), views: make(map[string]*Log)}
	h.topics[name] = t
	h.order = append(h.order, name)
	if h.opts.Broker != nil {
		t.brokered = true
		t.broker = SourceHealth{State: SourceStarting, Since: time.Now()}
		h.work.Go(func() { h.follow(t) })
	}
	return nil
}

// Topics returns the names of the topics, in the order in which they were made.
func (h *Hub) Topics() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.order)
}

func (h *Hub) topic(name string) (*topic, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if t := h.topics[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %.80q", ErrNoTopic, name)
}

// Log returns the log of a topic in a format, for reading. The error wraps
// ErrNoTopic, or ErrNoFormat.
func (h *Hub) Log(name, format string) (*Log, error) {
	t, err := h.topic(name)
	if err != nil {
		return nil, err
	}
	if format == FormatJSON {
		return t.log, nil
	}
	render := h.opts.Formats[format]
	if render == nil {
		return nil, fmt.Errorf("%w: %.80q", ErrNoFormat, format)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if view := t.views[format]; view != nil {
		return view, nil
	}
	view, follow := t.log.project(h.opts.Log, func(dst []byte, e *Event) ([]byte, error) {
		return render(dst, name, e)
	})
	t.views[format] = view
	h.work.Go(func() { follow(h.ctx) })
	return view, nil
}

// open returns a cursor for a connection: live, or behind the ID it resumes
// from.
func (h *Hub) open(name, format string, resume *ID) (*Cursor, error) {
	t, err := h.topic(name)
	if err != nil {
		return nil, err
	}
	view, err := h.Log(name, format)
	if err != nil {
		return nil, err
	}
	if t.brokered {
		t.mu.Lock()
		joined := t.joined
		t.mu.Unlock()
		if !joined { // an empty log would tell of gaps that are none
			return nil, fmt.Errorf("open %s: %w", name, ErrUnavailable)
		}
	}
	source := t.log.Last()
	var c *Cursor
	if resume != nil {
		c = view.From(*resume)
	} else {
		c = view.Live()
	}
	c.behind(source)
	return c, nil
}

// ErrNoFormat marks, by errors.Is, a format that the hub does not have.
var ErrNoFormat = errors.New("no such format")

// Publish puts events into a topic, all or none, and returns once they are in
// the log, or in the broker where there is one. Fields left empty get their
// defaults. The error wraps ErrNoTopic, ErrInvalid, ErrClosed or
// ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, name string, events ...Event) ([]ID, error) {
	t, err := h.topic(name)
	if err != nil {
		return nil, err
	}
	batch := make([]*Event, len(events))
	for i := range events {
		e := &events[i]
		if err := e.Validate(); err != nil {
			if len(events) > 1 {
				return nil, fmt.Errorf("event %d of %d: %w", i+1, len(events), err)
			}
			return nil, err
		}
		if e.Type == "" {
			e.Type = DefaultType
		}
		if e.Source == "" {
			e.Source = "/topics/" + name
		}
		if e.ContentType == "" {
			e.ContentType = JSON
		}
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		kept := *e // the log's own: the caller may reuse the slice
		batch[i] = &kept
	}
	var done []func(ID, error)
	if h.opts.Hooks.Publish != nil {
		done = make([]func(ID, error), len(batch))
		for i, e := range batch {
			done[i] = h.opts.Hooks.Publish(ctx, name, e)
		}
	}
	if h.opts.Broker != nil {
		if t.log.Ended() != "" {
			err = ErrClosed
		} else {
			err = h.opts.Broker.Publish(ctx, name, batch)
		}
	} else {
		err = t.log.Append(batch...)
	}
	for i, f := range done {
		if f != nil {
			f(batch[i].ID, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", name, err)
	}
	ids := make([]ID, len(batch))
	for i, e := range batch {
		ids[i] = e.ID
	}
	return ids, nil
}

// EndTopic closes a topic for good: clients are told not to come back.
func (h *Hub) EndTopic(name, reason string) error {
	t, err := h.topic(name)
	if err != nil {
		return err
	}
	t.log.Close(reason)
	return nil
}

// Health returns how the source and, with a broker, the broker of each topic do.
func (h *Hub) Health() map[string]TopicHealth {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make(map[string]TopicHealth, len(h.topics))
	for name, t := range h.topics {
		t.mu.Lock()
		health := TopicHealth{Source: t.source}
		if t.brokered {
			b := t.broker
			health.Broker = &b
		}
		t.mu.Unlock()
		health.Log = t.log.Stats()
		all[name] = health
	}
	return all
}

// TopicHealth is the state of one topic.
type TopicHealth struct {
	Source SourceHealth  // State is empty for a topic that no source feeds
	Broker *SourceHealth // nil without a broker
	Log    LogStats
}

// failuresToTell is how many failures in a row the clients hear of.
const failuresToTell = 3

// The wait before a source or a broker is tried again.
const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 15 * time.Second
)

// backoff returns the wait after so many failures in a row, with jitter.
func backoff(failures int) time.Duration {
	d := minBackoff << min(failures, 10)
	return time.Duration((0.5 + rand.Float64()/2) * float64(min(d, maxBackoff)))
}

func (h *Hub) changed(t *topic, health *SourceHealth, state SourceState, err error) {
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
	failures := health.Failures
	t.mu.Unlock()
	if h.opts.Hooks.Source != nil && (before != state || err != nil) {
		h.opts.Hooks.Source(SourceChange{Topic: t.name, Broker: health == &t.broker, State: state, Failures: failures, Err: err})
	}
	if state == SourceDown && before != SourceDown {
		what := "The source of this topic has failed repeatedly. The stream stays open and goes on when it recovers."
		if health == &t.broker {
			what = "The event broker cannot be reached. The stream stays open and goes on when it is back."
		}
		t.log.Announce("stream-error", messageJSON(what), true)
	}
}

func messageJSON(message string) []byte {
	b, _ := json.Marshal(struct {
		Message string `json:"message"`
	}{message}) // cannot fail for a string
	return b
}

// AddSource feeds a topic, which must exist, from a source until the hub is
// closed. A source that fails is run again with backoff; the third failure in
// a row is told to the clients; one that returns nil ends the topic.
func (h *Hub) AddSource(name string, s Source) error {
	t, err := h.topic(name)
	if err != nil {
		return err
	}
	h.changed(t, &t.source, SourceStarting, nil)
	h.work.Go(func() { h.feed(t, s) })
	return nil
}

func (h *Hub) feed(t *topic, s Source) {
	p := &publisher{hub: h, topic: t}
	for {
		err := runSource(h.ctx, s, p)
		switch {
		case h.ctx.Err() != nil:
			return
		case err == nil:
			p.settle()
			h.changed(t, &t.source, SourceEnded, nil)
			t.log.Close("the source has ended")
			return
		case !errors.Is(err, ErrRestart):
			p.Fail(err)
		}
		t.mu.Lock()
		wait := backoff(t.source.Failures)
		t.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-h.ctx.Done():
			return
		}
	}
}

// runSource turns a panic of a plug-in into a failure.
func runSource(ctx context.Context, s Source, p Publisher) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("source panicked: %v", r)
		}
	}()
	return s.Run(ctx, p)
}

// A publisher is the Publisher that a hub gives a source.
type publisher struct {
	hub   *Hub
	topic *topic

	mu   sync.Mutex
	last ID // of what the source has published
}

// settle waits until what the source has published is in the log, so that the
// topic ends behind it: with a broker, that comes round later. It waits no
// longer when the broker has lost the thread, and with it perhaps the events.
func (p *publisher) settle() {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	for c := p.topic.log.Live(); last.After(p.topic.log.Last()); {
		_, err := c.Next(p.hub.ctx)
		var gap *Gap
		if err != nil && (!errors.As(err, &gap) || gap.Reason != GapSlow) {
			return
		}
	}
}

func (p *publisher) Publish(ctx context.Context, events ...Event) error {
	ids, err := p.hub.Publish(ctx, p.topic.name, events...)
	switch {
	case err == nil:
		p.mu.Lock()
		for _, id := range ids {
			if id.After(p.last) {
				p.last = id
			}
		}
		p.mu.Unlock()
		p.hub.changed(p.topic, &p.topic.source, SourceUp, nil)
	case errors.Is(err, ErrInvalid):
		p.Fail(err)
	}
	return err
}

func (p *publisher) Fail(err error) {
	p.hub.changed(p.topic, &p.topic.source, SourceFailing, err)
}

// follow keeps a topic's log in touch with the broker.
func (h *Hub) follow(t *topic) {
	for {
		err := h.opts.Broker.Follow(h.ctx, t.name, t.log, func() {
			t.mu.Lock()
			t.joined = true
			t.mu.Unlock()
			h.changed(t, &t.broker, SourceUp, nil)
		})
		if h.ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return
		}
		h.changed(t, &t.broker, SourceFailing, err)
		t.mu.Lock()
		wait := backoff(t.broker.Failures)
		t.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-h.ctx.Done():
			return
		}
	}
}

// project returns a log that holds l's events in another encoding, under the
// same IDs, and the function that fills it until ctx is done or l is closed.
func (l *Log) project(opts LogOptions, encode func([]byte, *Event) ([]byte, error)) (view *Log, follow func(context.Context)) {
	from := l.From(ID{})
	from.fault = nil // the view has it from the start
	opts.Floor = from.last
	opts.Encode = encode
	view = NewLog(opts)
	l.mu.RLock()
	view.why, view.fault = l.why, l.fault
	l.mu.RUnlock()
	return view, func(ctx context.Context) {
		for {
			batch, err := from.Next(ctx)
			var gap *Gap
			var ended *Ended
			switch {
			case errors.As(err, &gap) && gap.rewind != nil:
				view.rewind(*gap.rewind)
				continue
			case errors.As(err, &gap):
				if gap.Reason == GapSlow {
					gap.Reason = GapExpired // it is not the client who was slow
				}
				view.Reset(gap.To, gap.Reason)
				continue
			case errors.As(err, &ended):
				view.Close(ended.Reason)
				return
			case err != nil:
				return
			}
			for _, e := range batch.Entries {
				view.mirror(e)
			}
		}
	}
}

// mirror puts an entry of another log in, encoded this log's way. An event
// that cannot be encoded is told, not skipped in silence.
func (l *Log) mirror(e *Entry) {
	if e.Event == nil {
		l.announce(&Entry{At: e.At, wire: e.wire, lasting: e.lasting})
		return
	}
	own, err := l.encode(e.Event, e.At)
	if err != nil {
		own = &Entry{At: e.At, wire: Message{Event: "stream-error", Data: messageJSON("Event " + e.ID.String() + " cannot be shown in this format.")}.AppendTo(nil)}
	}
	l.write.Lock()
	defer l.write.Unlock()
	own.ID = e.ID
	_ = l.push([]*Entry{own}) // fails only once the view is closed
}
