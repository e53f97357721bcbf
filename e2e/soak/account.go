//go:build unix

package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/stream"
)

// An account is what one client has received, over all connections on which it
// went on from where it was. Its methods may be called by any goroutine.
type account struct {
	name   string
	stage  *stage
	ledger *ledger
	began  time.Time
	stays  bool // to the end, and is owed the end

	mu        sync.Mutex
	begun     bool
	start     stream.ID // it is owed what came after
	last      stream.ID // up to here, it has been served
	got       numbers
	delivered int
	repeated  []repetition
	gaps      []gap
	back      gap // the last that has led the client back

	// A gap has led the client back before these, and it received them again, since
	// it went on at a node that had yet to hear of the loss. That is right if the
	// client is then told again: the first list waits for that.
	untold, relapsed []repetition
}

type repetition struct {
	number int
	id     stream.ID
	text   string
}

// A gap is what the server has told of a loss: after from, up to and including
// to. Where the topic went back, it is from that lies ahead.
type gap struct {
	from, to stream.ID
	reason   string
	told     time.Time
}

func (g gap) leadsBack() bool { return g.from.After(g.to) }

func (g gap) covers(id stream.ID) bool {
	after, upTo := g.from, g.to
	if g.leadsBack() {
		after, upTo = upTo, after
	}
	return id.After(after) && !id.After(upTo)
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
	if id.After(a.back.from) { // the stream goes on as though nothing had been lost
		a.repeated, a.untold = append(a.repeated, a.untold...), nil
	}
	again := repetition{number, id, fmt.Sprintf("%s received number %d again, as %s", a.name, number, id)}
	switch fresh := a.got.add(number); {
	case !fresh && a.back.covers(id) && id.After(a.last):
		a.untold = append(a.untold, again)
	case !fresh:
		a.repeated = append(a.repeated, again)
	case !id.After(a.last):
		a.repeated = append(a.repeated, repetition{number, id, fmt.Sprintf("%s received %s after %s", a.name, id, a.last)})
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
	if g.to.After(a.last) || g.leadsBack() {
		a.last = g.to
	}
	if !g.leadsBack() {
		return
	}
	for _, r := range a.untold {
		if g.covers(r.id) {
			a.relapsed = append(a.relapsed, r)
		} else { // this node has it
			a.repeated = append(a.repeated, r)
		}
	}
	a.untold, a.back = nil, g
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
	again     int   // of what the topic had lost, came again, as a gap had told
	relapsed  int   // and came again from a node that had yet to hear of the loss
	covered   int   // events that did not come, as a gap had told
	lost      []int // numbers of events that did not come, and nobody said so
}

// audit compares the account with the facts. A client that was to stay is owed
// everything up to the ID given; one that has left, for which it is zero, what
// came before the last that it got.
func (a *account) audit(facts []fact, owed stream.ID, taken ...takenBack) verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := verdict{delivered: a.delivered, gaps: a.gaps}
	for _, r := range a.repeated {
		if a.ledger.putBack(r.number, taken) {
			v.again++
		} else {
			v.repeated = append(v.repeated, r.text)
		}
	}
	for _, r := range slices.Concat(a.relapsed, a.untold) { // the latter to who left before it was told
		if lostID(r.id, taken) {
			v.relapsed++
		} else {
			v.repeated = append(v.repeated, r.text)
		}
	}
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
		case slices.ContainsFunc(a.gaps, func(g gap) bool { return g.covers(f.id) }):
			v.covered++
		case slices.ContainsFunc(taken, func(t takenBack) bool { return t.has(f.id) && a.began.After(t.since) }):
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

// taken returns what clients were told that the topic has lost. A failure of its
// broker has been the cause: who came after that has begun may find all as it
// is now, and be told nothing.
func (g *stage) taken() []takenBack {
	var taken []takenBack
	for _, a := range g.accounts {
		for _, gap := range a.gaps {
			if !gap.leadsBack() {
				continue
			}
			t := takenBack{after: gap.to, upTo: gap.from, since: gap.told}
			for _, failure := range g.failures {
				if failure.Before(gap.told) {
					t.since = failure
				}
			}
			taken = append(taken, t)
		}
	}
	return taken
}
