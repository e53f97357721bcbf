package stream

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"weir/stream/eventlog"
)

// HubOptions configure a [Hub]. The zero value works.
type HubOptions struct {
	// Topic is what holds for topics that say nothing else.
	Topic TopicOptions
	// OnDemand is asked for a topic that does not exist, when somebody reads it
	// or publishes to it: whether the name may have a topic, and what holds for
	// that. Default: topics are made by AddTopic and EnsureTopic alone.
	OnDemand func(topic string) (TopicOptions, bool)
	// Formats are further formats beside FormatData and FormatJSON.
	Formats map[Format]Formatter
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
	work   sync.WaitGroup // sources

	mu       sync.RWMutex
	topics   map[string]*topic
	order    []string       // of the topics that were not made on demand
	demanded map[string]int // topics on demand, by label
	sweeping bool           // sweep will be called
}

// NewHub returns a hub without topics.
func NewHub(opts HubOptions) *Hub {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	h := &Hub{opts: opts, topics: make(map[string]*topic), demanded: make(map[string]int)}
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.unfollowAll() // which may hang on a disk
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
	for name, t := range h.topics {
		t.mu.Lock()
		if t.running > 0 {
			names = append(names, name)
		}
		t.mu.Unlock()
	}
	slices.Sort(names)
	return names
}

// AddTopic makes a topic with the options of [HubOptions.Topic]. The error
// wraps ErrExists, or says what is wrong with the name.
func (h *Hub) AddTopic(name string) error {
	_, made, err := h.make(name, TopicOptions{}, false)
	if err == nil && !made {
		return fmt.Errorf("%w: %s", ErrExists, name)
	}
	return err
}

// EnsureTopic makes a topic that is not there yet; one that is there stays as
// it is. The error says what is wrong with the name.
func (h *Hub) EnsureTopic(name string, opts TopicOptions) error {
	_, _, err := h.make(name, opts, false)
	return err
}

// make returns a topic, and makes it if it is not there.
func (h *Hub) make(name string, opts TopicOptions, onDemand bool) (t *topic, made bool, err error) {
	if err := eventlog.CheckTopic(name); err != nil {
		return nil, false, err
	}
	t, made, err = h.put(name, opts.or(h.opts.Topic), onDemand)
	if !made {
		return t, false, err
	}
	if hook := h.opts.Hooks.Topic; hook != nil {
		hook(name, t.label())
	}
	if t.brokered {
		h.follow(t)
	}
	return t, true, nil
}

func (h *Hub) put(name string, opts TopicOptions, onDemand bool) (t *topic, made bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil {
		return t, false, nil
	}
	t = &topic{name: name, opts: opts, onDemand: onDemand, used: time.Now()}
	if onDemand {
		if label := t.label(); opts.Max > 0 && h.demanded[label] >= opts.Max {
			return nil, false, ErrTooMany
		}
		h.demanded[t.label()]++
		h.sweepLater(opts.IdleTTL)
	} else {
		h.order = append(h.order, name)
	}
	log := eventlog.Options{History: opts.History, Bytes: opts.Bytes, Numbered: h.opts.Broker != nil}
	if receive := h.opts.Hooks.Receive; receive != nil && h.opts.Broker != nil {
		log.Receive = func(e *Event) { receive(name, e) }
	}
	t.log = eventlog.New(log)
	if h.opts.Broker != nil {
		t.brokered, t.joined = true, make(chan struct{})
		t.broker = SourceHealth{State: sourceStarting, Since: time.Now()}
	}
	h.topics[name] = t
	return t, true, nil
}

// Topics returns the names of the topics that were not made on demand, in the
// order in which they were made.
func (h *Hub) Topics() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.order)
}

// First returns the name of the topic that was made first, or "".
func (h *Hub) First() string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(h.order) == 0 {
		return ""
	}
	return h.order[0]
}

// Label returns what stands for a topic in metrics, logs and the names of
// spans: TopicOptions.Label or the name, and "" for a topic that is not there.
func (h *Hub) Label(name string) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if t := h.topics[name]; t != nil {
		return t.label()
	}
	return ""
}

// topic returns a topic that is there.
func (h *Hub) topic(name string) (*topic, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if t := h.topics[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %.80q", ErrNoTopic, name)
}

// demand returns a topic, and makes it where OnDemand allows it. The error wraps
// ErrNoTopic or ErrTooMany.
func (h *Hub) demand(name string) (*topic, error) {
	t, err := h.topic(name)
	if err == nil || h.opts.OnDemand == nil || eventlog.CheckTopic(name) != nil {
		return t, err
	}
	opts, ok := h.opts.OnDemand(name)
	if !ok {
		return nil, err
	}
	t, _, err = h.make(name, opts, true)
	return t, err
}

// Reader returns what reads a topic within the program. The error wraps
// ErrNoTopic.
func (h *Hub) Reader(name string) (*Reader, error) {
	t, err := h.topic(name)
	if err != nil {
		return nil, err
	}
	return t.log.All(), nil
}
