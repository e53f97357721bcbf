package redislog

import (
	"context"
	"sync"
	"time"

	"weir/stream"
	"weir/stream/internal/record"
)

// Times of the pulse.
const (
	pulseEvery = time.Second
	pulseLife  = time.Minute // of its keys, once the process is gone
)

// A pulse is a small publication of this process to a topic of its own, once a
// second. Whether it is taken tells whether Redis takes events; whether it
// comes back tells whether the subscription is at the right server; and its
// count tells whether Redis has lost what it had.
type pulse struct {
	first    chan struct{} // closed when the first was taken or refused
	hurry    chan struct{} // a word that the next one is due
	patience time.Duration

	mu      sync.Mutex
	key     string
	beaten  bool
	err     error     // of the last one
	came    time.Time // when one was heard last
	unheard time.Time // when one was taken of which nothing was heard since
	since   time.Time // since when it is subscribed: what was sent before need not be heard
	next    int64     // the count that the next one will tell; -1: not known
}

func (p *pulse) init(key string, timeout time.Duration) {
	p.key = key
	p.first = make(chan struct{})
	p.hurry = make(chan struct{}, 1)
	p.patience = timeout + 2*pulseEvery
	p.next = -1
}

// channel returns the key, by which the pulse is heard, too.
func (p *pulse) channel() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key
}

// rekey takes another key, since another server has the old one.
func (p *pulse) rekey(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key != p.key {
		p.key, p.next = key, -1
	}
}

// beat publishes the pulse until ctx is done, and tells the topics when Redis does not
// take it, and when it does again.
func (s *shard) beat(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	args := []any{record.Version, 1, maxInline, maxInline, pulseLife.Milliseconds(), "", "", "", "", "", ""}
	for {
		sent := time.Now()
		_, _, err := s.broker.store(ctx, s.pulse.channel(), args)
		if ctx.Err() != nil {
			return
		}
		was := s.pulse.taken(sent, err)
		if err != nil && was == nil {
			s.broker.logger.Warn("redis takes no events", "server", s.String(), "error", err)
		} else if err == nil && was != nil {
			s.broker.logger.Info("redis takes events again", "server", s.String())
		}
		if err != nil || was != nil {
			for _, f := range s.followings() {
				f.pulsed(err)
			}
		}
		select {
		case <-tick.C:
		case <-s.pulse.hurry:
		case <-ctx.Done():
			return
		}
	}
}

// taken notes how a pulse went that was sent at a time, and returns how the one before
// went. A pulse is often heard before it is known that it was taken.
func (p *pulse) taken(sent time.Time, err error) (before error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, p.err = p.err, err
	if !p.beaten {
		p.beaten = true
		close(p.first)
	}
	if err == nil && p.unheard.IsZero() && p.came.Before(sent) && p.since.Before(sent) {
		p.unheard = time.Now()
	}
	return before
}

// last returns how the last one went.
func (p *pulse) last() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// subscribed begins to wait for what is heard: when a subscription begins, and anew when
// Redis has taken it, since what was published in between may not come back.
func (p *pulse) subscribed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unheard, p.since = time.Time{}, time.Now()
}

// heard takes a pulse that came back. It reports whether Redis has lost some.
func (p *pulse) heard(payload []byte) (lost bool) {
	n, err := parseNotification(payload)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came, p.unheard = time.Now(), time.Time{}
	if err != nil {
		return true
	}
	lost = p.next >= 0 && n.added < p.next
	p.next = n.added + 1
	return lost
}

// deaf reports whether pulses are taken, and none has come back for too long.
func (p *pulse) deaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.unheard.IsZero() && time.Since(p.unheard) > p.patience
}

// ready waits for the first pulse, and returns how the last one went.
func (p *pulse) ready(ctx context.Context) error {
	select {
	case <-p.first:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	return p.last()
}

// Ready reports whether Redis takes events: this process publishes one to a key
// of its own every second. The error wraps [stream.ErrUnavailable].
func (b *Broker) Ready(ctx context.Context) error {
	shards := b.allShards()
	if len(shards) == 0 {
		return unavailable(errClosed)
	}
	for _, s := range shards {
		if err := s.pulse.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

var _ stream.Checkpointer = (*Broker)(nil)
