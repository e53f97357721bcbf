package stream

import (
	"context"
	"encoding/json"
	"errors"
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
	// OnDemand is asked for a topic that does not exist, when somebody reads it, by
	// HEAD too, or publishes to it: whether the name may have a topic, and what holds for
	// that. Default: topics are made by AddTopic and EnsureTopic alone.
	OnDemand func(topic string) (TopicOptions, bool)
	// Formats are further formats beside FormatData and FormatJSON. NewHub panics where
	// one has no Formatter, or the name of these two, or none.
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
	opts    HubOptions
	ctx     context.Context
	cancel  context.CancelFunc
	closing sync.Once
	work    sync.WaitGroup // sources
	topics  registry

	formatFaults formatFaults
}

// NewHub returns a hub without topics.
func NewHub(opts HubOptions) *Hub {
	formatters(opts.Formats).check()
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	h := &Hub{opts: opts}
	h.topics.forgetter, _ = opts.Broker.(Forgetter)
	h.topics.logger = opts.Logger
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// closePatience bounds how long Close waits for sources.
const closePatience = 10 * time.Second

// Close ends the hub's sources and followers and waits for them. The topics do
// not end by it: clients shall come back to the next process. Publish fails from
// then on, with an error that wraps ErrClosed. A broker is left open, for whoever opened
// it to close afterwards. A source that has not returned after 10 s is left behind, which
// is logged. Closing again waits for the first Close.
func (h *Hub) Close() { h.closing.Do(h.close) }

// hubClosed is the error of a publication to a hub that is closed: no topic has ended.
type hubClosed struct{}

func (hubClosed) Error() string { return "the hub is closed" }
func (hubClosed) Unwrap() error { return ErrClosed }

func (h *Hub) close() {
	h.cancel()
	h.topics.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, t := range h.topics.all() {
			t.stopFollowing() // which may hang on a disk
		}
		h.work.Wait()
	}()
	select {
	case <-done:
	case <-time.After(closePatience):
		h.opts.Logger.Error("closing the hub takes too long: what does not end is left behind", "topics", h.unended())
	}
}

// unended returns the topics whose sources run.
func (h *Hub) unended() (names []string) {
	for _, t := range h.topics.all() {
		t.mu.Lock()
		if t.running > 0 {
			names = append(names, t.name)
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
	opts = opts.or(h.opts.Topic)
	t, made, err = h.topics.put(name, opts, onDemand, func() *topic { return newTopic(h, name, opts, onDemand) })
	if !made {
		return t, false, err
	}
	if hook := h.opts.Hooks.Topic; hook != nil {
		hook(name, t.label())
	}
	if t.joined != nil {
		t.follow()
	}
	return t, true, nil
}

// Topics returns the names of the topics that were not made on demand, in the
// order in which they were made.
func (h *Hub) Topics() []string {
	named := h.topics.named()
	names := make([]string, len(named))
	for i, t := range named {
		names[i] = t.name
	}
	return names
}

// First returns the name of the topic that was made first, or "".
func (h *Hub) First() string { return h.topics.first() }

// Label returns what stands for a topic in metrics, logs and the names of
// spans: TopicOptions.Label or the name. For a topic that is not there it is the
// label under which it would be made on demand, or "".
func (h *Hub) Label(name string) string {
	t, err := h.topics.get(name)
	if err == nil {
		return t.label()
	}
	if h.opts.OnDemand != nil && eventlog.CheckTopic(name) == nil {
		if opts, ok := h.opts.OnDemand(name); ok {
			return opts.Label
		}
	}
	return ""
}

// demand returns a topic, and makes it where OnDemand allows it. The error wraps
// ErrNoTopic or ErrTooMany.
func (h *Hub) demand(name string) (*topic, error) {
	t, err := h.topics.get(name)
	if err == nil {
		return t, nil
	}
	if bad := eventlog.CheckTopic(name); bad != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTopic, bad)
	}
	if h.opts.OnDemand == nil {
		return nil, err
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
	t, err := h.topics.get(name)
	if err != nil {
		return nil, err
	}
	return t.log.All(), nil
}

// Publish puts events into a topic, all or none, and returns their IDs once
// they are in the log, or in the broker where there is one. Fields left empty
// get their defaults: data that is no JSON is Text. The error wraps ErrNoTopic,
// ErrTooMany, ErrInvalid, ErrTooLarge, ErrClosed, ErrUnavailable or the context's.
func (h *Hub) Publish(ctx context.Context, topic string, events ...Event) ([]ID, error) {
	p := &Publication{Events: make([]*Event, len(events))}
	for i, e := range events {
		p.Events[i] = &e // the log's own: the caller may reuse the slice
	}
	if err := h.Submit(ctx, topic, p); err != nil {
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
func (h *Hub) Submit(ctx context.Context, topic string, p *Publication) error {
	if h.ctx.Err() != nil { // what is kept by this process alone would be lost in silence
		return fmt.Errorf("publish to %s: %w", topic, hubClosed{})
	}
	t, err := h.demand(topic)
	for err == nil && !t.touch() { // it is being removed
		if err := t.awaitGone(ctx); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
		t, err = h.demand(topic)
	}
	if err != nil {
		return err
	}
	topic = t.name
	for i, e := range p.Events {
		if err := complete(e, topic); err != nil {
			if len(p.Events) > 1 {
				return fmt.Errorf("event %d of %d: %w", i+1, len(p.Events), err)
			}
			return err
		}
	}
	var done []func(ID, error)
	if h.opts.Hooks.Publish != nil {
		done = make([]func(ID, error), len(p.Events))
		for i, e := range p.Events {
			done[i] = h.opts.Hooks.Publish(ctx, topic, e)
		}
	}
	err = t.store(ctx, p)
	for i, f := range done {
		if f == nil {
			continue
		}
		told := err
		if err == nil && p.Duplicate != nil && p.Duplicate[i] {
			told = ErrDuplicate
		}
		f(p.Events[i].ID, told)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// complete fills in what an event leaves out, and checks it.
func complete(e *Event, topic string) error {
	if e.ContentType == "" {
		if e.ContentType = JSON; !json.Valid(e.Data) {
			e.ContentType = Text
		}
	}
	if err := e.Validate(); err != nil {
		return err
	}
	if e.Type == "" {
		e.Type = eventlog.DefaultType
	}
	if e.Source == "" {
		e.Source = "/topics/" + topic
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return nil
}

// Checkpoint returns the last checkpoint that was published to a topic, and nil
// if there is none or the broker keeps none. Without a broker it is kept as
// long as the hub is there. The error wraps ErrNoTopic or ErrUnavailable.
func (h *Hub) Checkpoint(ctx context.Context, name string) ([]byte, error) {
	t, err := h.topics.get(name)
	if err != nil {
		return nil, err
	}
	return t.lastCheckpoint(ctx)
}

// AddSource feeds a topic, which must exist, from a source until the hub is
// closed. A source that returns is run again after a wait. The wait grows to
// 15 s, and is short again when the source has run for a while. The third
// failure in a row is told to the clients. A source that returns nil ends the
// topic.
func (h *Hub) AddSource(name string, s Source) error {
	t, err := h.topics.get(name)
	if err != nil {
		return err
	}
	t.changed(&t.source, SourceStarting, nil)
	p := &publisher{topic: t}
	h.work.Go(func() { p.run(s) })
	return nil
}

// endPatience bounds how long EndTopic waits for a broker.
const endPatience = 10 * time.Second

// EndTopic ends a topic for good: clients that have all of it are told not to
// come back. With a broker the end is stored there, so that it holds on every
// node and after a restart; the error then wraps ErrUnavailable when the end
// could not be stored. Ending a topic again changes nothing. One that was made on
// demand is removed after its IdleTTL, and that it had ended is forgotten then.
func (h *Hub) EndTopic(name, reason string) error {
	t, err := h.topics.get(name)
	if err != nil {
		return err
	}
	if reason == "" {
		reason = "ended"
	}
	ctx, cancel := context.WithTimeout(h.ctx, endPatience)
	defer cancel()
	if err := t.store(ctx, &Publication{End: reason}); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// RemoveTopic removes a topic. Its streams end, and are told to close. What a
// broker holds of the topic stays there. A source that feeds it goes on, and
// fails. The error wraps ErrNoTopic.
func (h *Hub) RemoveTopic(name string) error {
	t, err := h.topics.get(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.removed = true
	t.mu.Unlock()
	h.topics.forget(t)
	t.log.Close("the topic was removed")
	return nil
}

// Health returns the state of each topic that was not made on demand.
func (h *Hub) Health() map[string]TopicHealth {
	named := h.topics.named()
	all := make(map[string]TopicHealth, len(named))
	for _, t := range named {
		all[t.name] = t.health()
	}
	return all
}

// TopicHealth returns the state of one topic, also of one that was made on
// demand. The error wraps ErrNoTopic.
func (h *Hub) TopicHealth(name string) (TopicHealth, error) {
	t, err := h.topics.get(name)
	if err != nil {
		return TopicHealth{}, err
	}
	return t.health(), nil
}

// DemandedHealth returns the state of the topics that were made on demand, by label.
// It looks at each of them.
func (h *Hub) DemandedHealth() map[string]DemandedHealth {
	all := make(map[string]DemandedHealth)
	for _, t := range h.topics.onDemand() {
		all[t.label()] = all[t.label()].with(t.health())
	}
	return all
}

// OnDemand returns the names of at most so many topics that were made on demand, in
// no order.
func (h *Hub) OnDemand(most int) []string { return h.topics.some(most) }

// Demanded returns how many topics there are that were made on demand, by label.
func (h *Hub) Demanded() map[string]int { return h.topics.counts() }
