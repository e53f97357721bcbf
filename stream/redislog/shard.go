package redislog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// The wait before Redis is tried again. Redis costs little to ask, and without
// it every topic is deaf.
const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// backoff returns the wait after so many failures in a row, with jitter.
func backoff(failures int) time.Duration {
	d := minBackoff << min(failures, 10)
	return time.Duration((0.5 + rand.Float64()/2) * float64(min(d, maxBackoff)))
}

// A shard follows the topics that one server of Redis holds: all of them, but
// for a cluster. It has a connection on which Redis tells of publications, and
// asks on another what it has not been told. Its goroutines are a few, however
// many topics there are.
type shard struct {
	broker *Broker
	client *redis.Client
	cancel context.CancelFunc
	done   chan struct{}
	pulse  pulse

	mu     sync.Mutex
	topics map[string][]*following // by key; most have one
	// What is to be done, and a word to the goroutine that does it.
	subscribe   []string
	unsubscribe []string
	writing     chan struct{}
	urgent      []*following
	asking      chan struct{}
	// all are the followings, in the order in which they are looked at.
	all  []*following
	next int
}

func newShard(b *Broker, client *redis.Client, pulseKey string) *shard {
	ctx, cancel := context.WithCancel(context.Background())
	s := &shard{
		broker: b, client: client, cancel: cancel, done: make(chan struct{}),
		topics: make(map[string][]*following), writing: make(chan struct{}, 1), asking: make(chan struct{}, 1),
	}
	s.pulse.init(pulseKey, b.opts.Timeout)
	go s.run(ctx)
	return s
}

// close ends the shard's goroutines, and waits for them.
func (s *shard) close() {
	s.cancel()
	<-s.done
}

// add begins to follow. It does not wait for Redis.
func (s *shard) add(f *following) {
	f.belongs(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, f)
	s.topics[f.key] = append(slices.Clip(s.topics[f.key]), f)
	s.subscribe = append(s.subscribe, f.key) // again, too: the answer leads to a look
	tell(s.writing)
}

// remove ends a following that has been stopped.
func (s *shard) remove(f *following) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.all, f)
	if i < 0 {
		return
	}
	last := len(s.all) - 1
	s.all[i] = s.all[last]
	s.all[last] = nil
	s.all = s.all[:last]
	var left []*following // a slice of its own: deliver may be reading the old one
	for _, other := range s.topics[f.key] {
		if other != f {
			left = append(left, other)
		}
	}
	if len(left) > 0 {
		s.topics[f.key] = left
		return
	}
	delete(s.topics, f.key)
	s.unsubscribe = append(s.unsubscribe, f.key)
	tell(s.writing)
}

// clear takes all followings out.
func (s *shard) clear() []*following {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all, s.urgent, s.subscribe, s.unsubscribe = nil, nil, nil, nil
	clear(s.topics)
	return all
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run keeps in touch until ctx is done.
func (s *shard) run(ctx context.Context) {
	defer close(s.done)
	var pulsing sync.WaitGroup
	pulsing.Go(func() { s.beat(ctx) })
	defer pulsing.Wait()
	for failures := 1; ; failures++ {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*maxBackoff {
			failures = 1
		}
		s.lost(err)
		if s.broker.servers.cluster != nil && !s.broker.disband(ctx, s) {
			s.cancel() // another server has its place
		}
		select {
		case <-time.After(backoff(failures)):
		case <-ctx.Done():
			return
		}
	}
}

// lost reports to all topics that Redis is away.
func (s *shard) lost(err error) {
	for _, f := range s.followings() {
		f.failed(err)
	}
}

// followings returns all of them.
func (s *shard) followings() []*following {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// session follows until something fails.
func (s *shard) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sub, err := subscribe(ctx, s.client, s.broker.opts.Timeout)
	if err != nil {
		return err
	}
	hangUp := context.AfterFunc(ctx, sub.close)
	defer hangUp()
	defer sub.close()
	s.mu.Lock()
	s.urgent, s.unsubscribe = nil, nil
	s.subscribe = make([]string, 0, len(s.topics))
	for key := range s.topics {
		s.subscribe = append(s.subscribe, key)
	}
	for _, f := range s.all {
		f.queued = false
	}
	s.mu.Unlock()
	s.pulse.subscribed()
	tell(s.pulse.hurry) // Redis is back: whether it takes events, too, is to be known at once
	tell(s.writing)
	var work sync.WaitGroup
	for _, part := range []func(context.Context, *subscription) error{s.listen, s.write, s.ask} {
		work.Go(func() { cancel(part(ctx, sub)) })
	}
	work.Wait()
	return context.Cause(ctx)
}

// listen takes what Redis tells of.
func (s *shard) listen(_ context.Context, sub *subscription) error {
	pulse := s.pulse.channel()
	for {
		n, err := sub.next(pingEvery + s.broker.opts.Timeout)
		if err != nil {
			return err
		}
		if n.channel == pulse {
			switch {
			case n.kind == "ssubscribe":
				s.pulse.subscribed()
			case n.kind == "smessage" && s.pulse.heard(n.payload):
				s.suspect()
			}
			continue
		}
		switch n.kind {
		case "ssubscribe":
			s.mu.Lock()
			s.queue(s.topics[n.channel]...)
			s.mu.Unlock()
		case "sunsubscribe":
			// A cluster does that when it gives a slot to another server, which
			// the answer to the next try will say.
			s.mu.Lock()
			if s.topics[n.channel] != nil {
				s.subscribe = append(s.subscribe, n.channel)
				tell(s.writing)
			}
			s.mu.Unlock()
		case "smessage":
			s.deliver(n)
		}
	}
}

// deliver hands a publication to the followings of its topic.
func (s *shard) deliver(n notice) {
	s.mu.Lock()
	followings := s.topics[n.channel] // never changed in place
	s.mu.Unlock()
	note, err := parseNotification(n.payload)
	if err != nil {
		s.broker.logger.Error("a notification in redis is none of this program's", "channel", n.channel, "error", err)
	}
	for _, f := range followings {
		if err != nil || f.notify(&note) {
			s.mu.Lock()
			s.queue(f)
			s.mu.Unlock()
		}
	}
}

// suspect has all topics looked at, since Redis has lost something.
func (s *shard) suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue(s.all...)
}

// queue wants followings to be looked at soon; the caller holds s.mu.
func (s *shard) queue(followings ...*following) {
	for _, f := range followings {
		if f != nil && !f.queued {
			f.queued = true
			s.urgent = append(s.urgent, f)
		}
	}
	tell(s.asking)
}

// String names the shard in messages.
func (s *shard) String() string { return fmt.Sprintf("redis at %s", s.client.Options().Addr) }
