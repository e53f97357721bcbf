package main

import (
	"fmt"
	"slices"
	"sync"

	"weir/stream"
)

// What became of an event on its way in.
type outcome uint8

const (
	pending      outcome = iota
	acknowledged         // an answer gave its ID: it must reach everybody
	refused              // an answer said no, or nobody was there to ask
	unanswered           // it may be in or not
)

// A ledger holds what is known of every event that was published, by number.
// Its methods may be called by any goroutine.
type ledger struct {
	mu     sync.RWMutex
	events []published
	twice  []string // what was found in the topic more than once
}

type published struct {
	id   stream.ID // zero while not known
	what outcome
	seen bool // some client has received it
}

// begin makes room for so many events and returns the number of the first.
func (l *ledger) begin(n int) (first int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = len(l.events)
	l.events = append(l.events, make([]published, n)...)
	return first
}

// acknowledge notes the IDs of the events from number first on.
func (l *ledger) acknowledge(first int, ids []stream.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, id := range ids {
		l.events[first+i].what = acknowledged
		l.identify(first+i, id)
	}
}

// fail notes that n events from number first on were not acknowledged.
func (l *ledger) fail(first, n int, what outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		l.events[first+i].what = what
	}
}

// sight notes that a client has received an event.
func (l *ledger) sight(number int, id stream.ID) error {
	l.mu.RLock()
	if number < 0 || number >= len(l.events) {
		l.mu.RUnlock()
		return fmt.Errorf("event %s has the number %d, which was never published", id, number)
	}
	known := l.events[number].seen && l.events[number].id == id
	l.mu.RUnlock()
	if known {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[number].seen = true
	l.identify(number, id)
	return nil
}

// identify sets the ID of an event; the caller holds l.mu.
func (l *ledger) identify(number int, id stream.ID) {
	e := &l.events[number]
	switch {
	case e.id.IsZero():
		e.id = id
	case e.id != id:
		l.twice = append(l.twice, fmt.Sprintf("number %d is in as %s and as %s", number, e.id, id))
	}
}

// sums are the ledger's totals.
type sums struct {
	published, acknowledged, refused, unanswered int
	surfaced                                     int // not acknowledged, and yet in
}

func (l *ledger) sums() sums {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := sums{published: len(l.events)}
	for _, e := range l.events {
		switch e.what {
		case acknowledged:
			s.acknowledged++
		case refused:
			s.refused++
		case unanswered:
			s.unanswered++
		}
		if e.what != acknowledged && e.seen {
			s.surfaced++
		}
	}
	return s
}

// doubles returns what was found in the topic more than once.
func (l *ledger) doubles() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.twice)
}

// A fact is an event that is in the topic beyond doubt: it was acknowledged, or
// somebody has received it, so that everybody must.
type fact struct {
	id     stream.ID
	number int
}

// facts returns them in the order of the topic.
func (l *ledger) facts() []fact {
	l.mu.RLock()
	defer l.mu.RUnlock()
	facts := make([]fact, 0, len(l.events))
	for n, e := range l.events {
		if e.what == acknowledged || e.seen {
			facts = append(facts, fact{e.id, n})
		}
	}
	slices.SortFunc(facts, func(a, b fact) int { return a.id.Compare(b.id) })
	return facts
}

// An account is what one client has received, over all connections on which it
// went on from where it was. Its methods may be called by any goroutine.
type account struct {
	name   string
	ledger *ledger

	mu        sync.Mutex
	begun     bool
	start     stream.ID // it is owed what came after
	last      stream.ID // up to here, it has been served
	got       numbers
	delivered int
	repeated  []string
	gaps      []gap
}

// A gap is what the server has told of a loss: after from, up to and including to.
type gap struct {
	from, to stream.ID
	reason   string
}

// begin says where the client's stream starts. Only the first time counts:
// after that the client resumes.
func (a *account) begin(position stream.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.begun {
		a.begun, a.start, a.last = true, position, position
	}
}

// receive notes an event. One that was there before, and one that comes out of
// order, which a client that resumes by ID cannot tell apart, count as repeated.
func (a *account) receive(number int, id stream.ID) error {
	if err := a.ledger.sight(number, id); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delivered++
	switch fresh := a.got.add(number); {
	case !fresh:
		a.repeated = append(a.repeated, fmt.Sprintf("%s received number %d again, as %s", a.name, number, id))
	case !id.After(a.last):
		a.repeated = append(a.repeated, fmt.Sprintf("%s received %s after %s", a.name, id, a.last))
	}
	if id.After(a.last) {
		a.last = id
	}
	return nil
}

func (a *account) gap(g gap) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps = append(a.gaps, g)
	if g.to.After(a.last) {
		a.last = g.to
	}
}

// reached reports whether the client has been served up to an ID.
func (a *account) reached(id stream.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begun && a.last.Compare(id) >= 0
}

// A verdict is what an account comes to.
type verdict struct {
	delivered int
	repeated  []string
	gaps      []gap
	covered   int   // events that did not come, as a gap had told
	lost      []int // numbers of events that did not come, and nobody said so
}

// audit compares the account with the facts. A client that was to stay is owed
// everything up to the ID given; one that has left, for which it is zero, what
// came before the last that it got.
func (a *account) audit(facts []fact, owed stream.ID) verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := verdict{delivered: a.delivered, repeated: a.repeated, gaps: a.gaps}
	if !a.begun {
		return v
	}
	if a.last.After(owed) {
		owed = a.last
	}
	from, found := slices.BinarySearchFunc(facts, a.start, func(f fact, id stream.ID) int { return f.id.Compare(id) })
	if found {
		from++
	}
	for _, f := range facts[from:] {
		switch {
		case f.id.After(owed):
			return v
		case a.got.has(f.number):
		case slices.ContainsFunc(a.gaps, func(g gap) bool { return f.id.After(g.from) && !f.id.After(g.to) }):
			v.covered++
		default:
			v.lost = append(v.lost, f.number)
		}
	}
	return v
}

// numbers is a set of numbers that lie near each other.
type numbers struct {
	base  int // of the first word
	words []uint64
}

// add puts a number in, and reports whether it was not there.
func (s *numbers) add(n int) (fresh bool) {
	word, bit := n/64, uint64(1)<<(n%64)
	if len(s.words) == 0 {
		s.base = word
	}
	if word < s.base {
		s.words = append(make([]uint64, s.base-word), s.words...)
		s.base = word
	}
	for word >= s.base+len(s.words) {
		s.words = append(s.words, 0)
	}
	at := &s.words[word-s.base]
	fresh = *at&bit == 0
	*at |= bit
	return fresh
}

func (s *numbers) has(n int) bool {
	word := n/64 - s.base
	return word >= 0 && word < len(s.words) && s.words[word]&(1<<(n%64)) != 0
}

// idOf returns the ID of an event, if it is known.
func (l *ledger) idOf(number int) stream.ID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.events[number].id
}
