//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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
	others map[int][]stream.ID // by number: IDs beside the first
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

// written notes that n lines from number first on are in the file: they are
// owed, though nobody knows yet under which IDs.
func (l *ledger) written(first, n int) { l.fail(first, n, acknowledged) }

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
	known := l.events[number].seen && (l.events[number].id == id || slices.Contains(l.others[number], id))
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
	case e.id != id && !slices.Contains(l.others[number], id):
		if l.others == nil {
			l.others = make(map[int][]stream.ID)
		}
		l.others[number] = append(l.others[number], id)
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

// A takenBack is a part of the topic that its broker has lost: what has an ID
// after one and up to the other is not there any more, and may be again under
// another ID. Who came since then never heard of it.
type takenBack struct {
	after, upTo stream.ID
	since       time.Time
}

func (t takenBack) has(id stream.ID) bool { return id.After(t.after) && !id.After(t.upTo) }

func lostID(id stream.ID, taken []takenBack) bool {
	return slices.ContainsFunc(taken, func(t takenBack) bool { return t.has(id) })
}

// ids returns the IDs that a number has had; the caller holds l.mu.
func (l *ledger) ids(number int) []stream.ID {
	return append([]stream.ID{l.events[number].id}, l.others[number]...)
}

// doubles returns what was found in the topic more than once.
func (l *ledger) doubles(taken ...takenBack) (twice []string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, number := range slices.Sorted(maps.Keys(l.others)) {
		ids := slices.DeleteFunc(l.ids(number), func(id stream.ID) bool { return lostID(id, taken) })
		if len(ids) > 1 {
			twice = append(twice, fmt.Sprintf("number %d is in as %s", number, ids))
		}
	}
	return twice
}

// putBack reports whether a number was taken back and is in again.
func (l *ledger) putBack(number int, taken []takenBack) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.others[number]) > 0 && slices.ContainsFunc(l.ids(number), func(id stream.ID) bool { return lostID(id, taken) })
}

// absent returns the numbers that were acknowledged and that nobody has seen nor
// knows the ID of: lines that were written, and never became events.
func (l *ledger) absent() (numbers []int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for n, e := range l.events {
		if e.what == acknowledged && e.id.IsZero() {
			numbers = append(numbers, n)
		}
	}
	return numbers
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
		if !e.id.IsZero() && (e.what == acknowledged || e.seen) {
			for _, id := range l.ids(n) {
				facts = append(facts, fact{id, n})
			}
		}
	}
	slices.SortFunc(facts, func(a, b fact) int { return a.id.Compare(b.id) })
	return facts
}

// idOf returns the ID of an event, if it is known.
func (l *ledger) idOf(number int) stream.ID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.events[number].id
}
