package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	running  int // sources
	broker   SourceHealth
	brokered bool
	joined   bool   // the broker's backlog has been in the log
	unfollow func() // ends the broker's following; nil before it began

	// store is held while a publication is put into the log, without a broker.
	store      sync.Mutex
	firsts     firsts
	checkpoint []byte
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

// closePatience bounds how long Close waits for sources.
const closePatience = 10 * time.Second

// Close ends the hub's sources and followers and waits for them. The topics do
// not end by it: clients shall come back to the next process. A source that has
// not returned after 10 s is left behind, which is logged: its Publish fails
// from when Close is called.
func (h *Hub) Close() {
	h.cancel()
	h.unfollowAll()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.work.Wait()
	}()
	select {
	case <-done:
	case <-time.After(closePatience):
		h.opts.Logger.Error("sources do not end, and are left behind", "topics", h.unended())
	}
}

// unended returns the topics whose sources run.
func (h *Hub) unended() (names []string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, name := range h.order {
		t := h.topics[name]
		t.mu.Lock()
		if t.running > 0 {
			names = append(names, name)
		}
		t.mu.Unlock()
	}
	return names
}

// AddTopic makes a topic. It is an error when the name is taken or not valid.
func (h *Hub) AddTopic(name string) error {
	if !ValidTopic(name) {
		return fmt.Errorf("bad topic %q: 1 to 64 letters, digits, dots, dashes and underscores", name)
	}
	t, err := h.addTopic(name)
	if err == nil && t.brokered {
		h.follow(t)
	}
	return err
}

func (h *Hub) addTopic(name string) (*topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[name] != nil {
		return nil, fmt.Errorf("topic %q exists already", name)
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
	}
	return t, nil
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
	if resume == nil {
		c := view.Live()
		c.skipTo(source)
		return c, nil
	}
	c := view.From(*resume)
	if source.After(c.since) {
		c.since = source // what a view has yet to take over is history, too
	}
	return c, nil
}

// ErrNoFormat marks, by errors.Is, a format that the hub does not have.
var ErrNoFormat = errors.New("no such format")

// Publish puts events into a topic, all or none, and returns their IDs once
// they are in the log, or in the broker where there is one. Fields left empty
// get their defaults. The error wraps ErrNoTopic, ErrInvalid, ErrClosed or
// ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, name string, events ...Event) ([]ID, error) {
	p := &Publication{Events: make([]*Event, len(events))}
	for i, e := range events {
		p.Events[i] = &e // the log's own: the caller may reuse the slice
	}
	if err := h.Submit(ctx, name, p); err != nil {
		return nil, err
	}
	ids := make([]ID, len(p.Events))
	for i, e := range p.Events {
		ids[i] = e.ID
	}
	return ids, nil
}

// Submit is Publish for more than events: a publication can also end the
// topic, and keep a checkpoint. Its events belong to the hub from then on.
func (h *Hub) Submit(ctx context.Context, name string, p *Publication) error {
	t, err := h.topic(name)
	if err != nil {
		return err
	}
	for i, e := range p.Events {
		if err := e.Validate(); err != nil {
			if len(p.Events) > 1 {
				return fmt.Errorf("event %d of %d: %w", i+1, len(p.Events), err)
			}
			return err
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
	}
	var done []func(ID, error)
	if h.opts.Hooks.Publish != nil {
		done = make([]func(ID, error), len(p.Events))
		for i, e := range p.Events {
			done[i] = h.opts.Hooks.Publish(ctx, name, e)
		}
	}
	err = h.put(ctx, t, p)
	for i, f := range done {
		if f != nil {
			f(p.Events[i].ID, err)
		}
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", name, err)
	}
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
