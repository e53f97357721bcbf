package redislog

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// How topics are looked at that nothing is said about: each once in
// Options.Check, but no more of them than so many a second.
const (
	maxLooks = 500
	askEvery = 50 * time.Millisecond
)

// Limits of what is asked at once.
const (
	maxQuestions = 64
	maxAsked     = 4 << 20 // bytes of all pages
	minAsked     = 16 << 10
)

// ask looks at the topics that were not told enough of, and now and then at all
// others.
func (s *shard) ask(ctx context.Context, _ *subscription) error {
	tick := time.NewTicker(min(askEvery, s.broker.opts.Check))
	defer tick.Stop()
	budget := maxAsked
	var due float64
	last := time.Now()
	for {
		s.mu.Lock()
		n := min(len(s.urgent), maxQuestions)
		batch := append([]*following(nil), s.urgent[:n]...)
		s.urgent = append(s.urgent[:0], s.urgent[n:]...)
		for _, f := range batch {
			f.queued = false
		}
		if n == 0 {
			batch, due = s.turn(due)
		}
		s.mu.Unlock()
		if len(batch) > 0 {
			err := s.askAll(ctx, batch, &budget)
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.asking:
		case <-tick.C:
			now := time.Now()
			s.mu.Lock()
			topics := float64(len(s.all))
			s.mu.Unlock()
			rate := min(topics/s.broker.opts.Check.Seconds(), maxLooks)
			due = min(due+rate*now.Sub(last).Seconds(), topics)
			last = now
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// turn returns the next of the topics that are due; the caller holds s.mu.
func (s *shard) turn(due float64) (batch []*following, left float64) {
	for due >= 1 && len(batch) < maxQuestions && len(s.all) > 0 {
		due--
		if s.next >= len(s.all) {
			s.next = 0
		}
		batch = append(batch, s.all[s.next])
		s.next++
	}
	return batch, due
}

// askAll looks at some topics. What is asked at once becomes less when the
// answer does not come in time, over a slow link; then it is asked again.
func (s *shard) askAll(ctx context.Context, batch []*following, budget *int) error {
	var asked []*following
	var questions []question
	for _, f := range batch {
		if q, ok := f.ask(min(maxPageBytes, max(*budget/len(batch), 1))); ok {
			asked, questions = append(asked, f), append(questions, q)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	answers, errs, err := s.broker.look(ctx, s.client, questions)
	var network net.Error
	switch {
	case err != nil && ctx.Err() == nil && *budget > minAsked && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()):
		*budget = max(*budget/8, minAsked)
		for _, f := range asked {
			f.abandon()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queue(asked...)
		return nil
	case err != nil:
		return err
	}
	*budget = min(2**budget, maxAsked)
	if err := s.keep(ctx, asked); err != nil {
		return err
	}
	for i, f := range asked {
		err := errs[i]
		again := false
		if err == nil {
			again, err = f.take(ctx, s.client, answers[i])
		}
		switch {
		case err != nil && isFatal(err):
			return err
		case err != nil:
			time.AfterFunc(backoff(f.failed(err)), func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.queue(f)
			})
		case again:
			s.mu.Lock()
			s.queue(f)
			s.mu.Unlock()
		}
	}
	return nil
}

// keep renews the life of topics that are followed and expire otherwise.
func (s *shard) keep(ctx context.Context, followings []*following) error {
	if s.broker.opts.Limits == nil {
		return nil
	}
	now := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.broker.opts.Timeout)
	defer cancel()
	p := s.client.Pipeline()
	for _, f := range followings {
		life := s.broker.limits(f.topic).Expire
		if life <= 0 || now.Sub(f.kept) < life/4 {
			continue
		}
		f.kept = now
		for _, key := range s.broker.scriptKeys(f.key) {
			p.PExpire(ctx, key, life)
		}
	}
	if p.Len() == 0 {
		return nil
	}
	_, err := p.Exec(ctx)
	var answer redis.Error
	if errors.As(err, &answer) {
		return nil // a replica, or no right: the pulse tells of it
	}
	return err
}

// isFatal reports whether an error concerns all topics.
func isFatal(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return !errors.Is(err, errSnapshot) && !errors.Is(err, errNotEntry)
	}
	for _, prefix := range []string{"LOADING", "MASTERDOWN", "NOAUTH", "CLUSTERDOWN", "MOVED", "ASK", "BUSY"} {
		if refused(err, prefix) {
			return true
		}
	}
	return false
}
