package disklog

import (
	"errors"
	"iter"
	"sync"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// retryEvery is the wait after the file could not be read.
const retryEvery = time.Second

// followers are the logs that follow topics, and which of them have to read.
type followers struct {
	wakeup chan struct{} // holds a signal while somebody is ready

	mu     sync.Mutex
	topics map[string]*follower // linked by next
	ready  []*follower
	ended  bool // the broker is closed
}

// A follower is a log that follows a topic. It costs no goroutine: the broker has
// one for all.
type follower struct {
	broker *Broker
	topic  string
	log    *eventlog.Log
	report func(error)

	// Guarded by followers.mu.
	next  *follower
	ready bool // it is among those that have to read

	mu      sync.Mutex // held while the log or report is touched
	stopped bool
	begun   bool // the log knows where it begins
	told    bool // the last report was nil
}

func newFollowers() followers {
	return followers{wakeup: make(chan struct{}, 1), topics: make(map[string]*follower)}
}

// Follow implements [stream.Broker].
func (b *Broker) Follow(topic string, log *eventlog.Log, report func(error)) (stop func()) {
	f := &follower{broker: b, topic: topic, log: log, report: report, begun: log.Stats().Head > 0}
	all := &b.followers
	all.mu.Lock()
	ended := all.ended
	f.next = all.topics[topic]
	all.topics[topic] = f
	all.addLocked(f)
	all.mu.Unlock()
	if ended {
		f.tell(unavailable(errClosed))
	}
	return f.stop
}

// stop does not wait for the disk: what is read for the follower when stop is
// called is thrown away.
func (f *follower) stop() {
	all := &f.broker.followers
	all.mu.Lock()
	var kept *follower
	for g := all.topics[f.topic]; g != nil; {
		next := g.next
		if g != f {
			g.next, kept = kept, g
		}
		g = next
	}
	if kept == nil {
		delete(all.topics, f.topic)
	} else {
		all.topics[f.topic] = kept
	}
	all.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// wake lets the followers of some topics read.
func (all *followers) wake(topics iter.Seq[string]) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for topic := range topics {
		for f := all.topics[topic]; f != nil; f = f.next {
			all.addLocked(f)
		}
	}
}

// add lets a follower read.
func (all *followers) add(f *follower) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.addLocked(f)
}

func (all *followers) addLocked(f *follower) {
	if f.ready {
		return
	}
	f.ready = true
	all.ready = append(all.ready, f)
	select {
	case all.wakeup <- struct{}{}:
	default:
	}
}

// take returns those that have to read. From then on a commit makes them ready
// again: it may be one that they do not see.
func (all *followers) take() []*follower {
	all.mu.Lock()
	defer all.mu.Unlock()
	ready := all.ready
	all.ready = nil
	for _, f := range ready {
		f.ready = false
	}
	return ready
}

// end returns every follower; those that come later hear of it by themselves.
func (all *followers) end() (list []*follower) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.ended = true
	for _, f := range all.topics {
		for ; f != nil; f = f.next {
			list = append(list, f)
		}
	}
	return list
}

// notify lets followers read that have to, until the broker is closed.
func (b *Broker) notify() {
	for {
		select {
		case <-b.followers.wakeup:
		case <-b.stop:
			for _, f := range b.followers.end() {
				f.tell(unavailable(errClosed))
			}
			return
		}
		for _, f := range b.followers.take() {
			more, err := f.read()
			switch {
			case err != nil:
				f.tell(err)
				time.AfterFunc(retryEvery, func() { b.followers.add(f) })
			case more:
				b.followers.add(f)
			}
		}
	}
}

// tell reports an error.
func (f *follower) tell(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopped {
		f.told = false
		f.report(err)
	}
}

// read puts into the log what the file holds after it, or a part of that: then
// there is more.
func (f *follower) read() (more bool, err error) {
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return false, nil
	}
	last := f.log.Last()
	f.mu.Unlock()
	part, err := f.broker.read(f.topic, last)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || f.stopped {
		return false, err
	}
	switch {
	case !f.begun:
		f.begun = true
		f.log.Reset(part.state.floor, part.state.why())
		return true, nil
	case last.After(part.state.last):
		f.log.Reset(part.state.floor, eventlog.GapReset)
		return true, nil
	case last.Compare(part.state.floor) < 0:
		f.log.Reset(part.state.floor, eventlog.GapExpired)
		return true, nil
	}
	if len(part.events) > 0 {
		err := f.log.Insert(part.events...)
		switch {
		case errors.Is(err, stream.ErrClosed):
			return false, nil // by its owner
		case err != nil:
			return false, unavailable(err)
		case part.more:
			return true, nil
		}
	}
	if part.end != "" {
		f.log.Close(part.end)
	}
	if !f.told {
		f.told = true
		f.report(nil)
	}
	return false, nil
}
