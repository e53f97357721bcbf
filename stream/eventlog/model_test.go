package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"weir/stream/eventlog"
)

// The model is the naive log: a list of everything that was ever put in, and
// clients that keep every event and every gap that they were given.
type model struct {
	t       *testing.T
	rng     *rand.Rand
	log     *eventlog.Log
	history int
	rewinds bool // the log goes back now and then
	events  []modelEvent
	fresh   int         // filters that were made for one view
	horizon eventlog.ID // nobody knows what came up to it
	trace   []string
}

type modelEvent struct {
	id      eventlog.ID
	subject string
	taken   bool // back, by a rewind
}

type modelClient struct {
	m      *model
	filter eventlog.Filter
	cursor *eventlog.Cursor
	start  eventlog.ID // what came up to here does not concern the client
	last   eventlog.ID // its last event ID
	got    map[eventlog.ID]int
	gaps   []*eventlog.Gap
}

var subjects = []string{"", "eu", "eu.de", "eu.de.berlin", "eu.fr", "us", "us.ny"}
var filters = [][]string{nil, {"eu.de"}, {"eu.*"}, {"eu.*", "us"}, {"us.ny", "us.*"}, {"asia.*"}, {"eu.de", "eu.de.*", "eu.*"}}

func (m *model) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	from := max(0, len(m.trace)-40)
	m.t.Fatalf("%s\nwhat happened:\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace[from:], "\n"))
}

func (m *model) append() {
	n := 1 + m.rng.IntN(3)
	batch := make([]*eventlog.Event, n)
	for i := range batch {
		batch[i] = &eventlog.Event{Type: "t", Source: "/s", Data: []byte("1"), Subject: subjects[m.rng.IntN(len(subjects))]}
	}
	if _, err := m.log.Append(batch...); err != nil {
		m.fail("append: %v", err)
	}
	for _, e := range batch {
		m.events = append(m.events, modelEvent{id: e.ID, subject: e.Subject})
		m.say("event %v %q", e.ID, e.Subject)
	}
}

// rewind takes some of the newest events back, or forgets everything.
func (m *model) rewind() {
	if len(m.events) == 0 {
		return
	}
	i := max(0, len(m.events)-1-m.rng.IntN(m.history+2))
	kept := m.events[i].id
	reset := m.rng.IntN(3) == 0
	if reset || kept.Compare(m.log.Stats().Floor) < 0 {
		m.horizon = kept
	}
	if reset {
		m.say("reset to %v", kept)
		m.log.Reset(kept, eventlog.GapReset)
	} else {
		m.say("rewind to %v", kept)
		m.log.Rewind(kept, eventlog.ID{}, eventlog.GapReset)
	}
	for j := i + 1; j < len(m.events); j++ {
		m.events[j].taken = true
	}
}

// restart takes the log for that of another process, which has what was held and
// knows no more, and brings everybody back there.
func (m *model) restart(clients []*modelClient) {
	m.say("restart")
	old := m.log
	m.horizon = old.Stats().Floor
	m.log = eventlog.New(eventlog.Options{History: m.history, Floor: m.horizon})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for c := old.All().From(eventlog.ID{}); ; {
		entries, err := c.Next(ctx)
		if err != nil {
			break
		}
		for _, e := range entries {
			own := *e.Event
			if err := m.log.Insert(&own); err != nil {
				m.fail("restart: %v", err)
			}
		}
	}
	for _, c := range clients {
		c.cut()
	}
}

func (m *model) open() *modelClient {
	filter, err := eventlog.ParseFilter(filters[m.rng.IntN(len(filters))])
	if err != nil {
		m.fail("%v", err)
	}
	c := &modelClient{m: m, filter: filter, got: make(map[eventlog.ID]int)}
	view := c.view()
	if m.rng.IntN(2) == 0 {
		c.cursor = view.Live()
		c.start = m.log.Last()
	} else {
		c.cursor = view.From(eventlog.ID{})
		c.start = view.Span().Floor
	}
	c.last = c.cursor.Position()
	m.say("client %p opens %v behind %v", c, filter, c.last)
	return c
}

// view returns the client's view; now and then it is one that was never asked for
// before.
func (c *modelClient) view() *eventlog.View {
	if len(c.filter) > 0 && c.m.rng.IntN(2) == 0 {
		c.m.fresh++
		other, err := eventlog.ParseFilter(append(slices.Clone(c.filter), fmt.Sprint("nobody", c.m.fresh)))
		if err != nil {
			c.m.fail("%v", err)
		}
		return c.m.log.View(other)
	}
	return c.m.log.View(c.filter)
}

// cut ends the client's connection, and opens another one behind the last ID.
func (c *modelClient) cut() {
	c.cursor.View().Leave()
	if c.m.rng.IntN(2) == 0 && !c.cursor.Lost() {
		c.last = c.cursor.Position() // a ping has told it
	}
	c.cursor = c.view().From(c.last)
	c.m.say("client %p comes back behind %v", c, c.last)
}

func (c *modelClient) read() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		entries, err := c.cursor.Next(ctx)
		var gap *eventlog.Gap
		switch {
		case errors.As(err, &gap):
			c.m.say("client %p is told of a gap %v to %v, %s", c, gap.From, gap.To, gap.Reason)
			c.gaps = append(c.gaps, gap)
			c.last = gap.To
			c.justified(gap)
			continue
		case err != nil:
			return
		}
		for _, e := range entries {
			if !c.filter.Match(e.Event.Subject) {
				c.m.fail("client with %v got an event of subject %q", c.filter, e.Event.Subject)
			}
			if !e.ID.After(c.last) && !c.m.rewinds { // IDs are given again behind a rewind
				c.m.fail("client got %v behind %v", e.ID, c.last)
			}
			c.last = e.ID
			c.got[e.ID]++
			c.m.say("client %p got %v", c, e.ID)
		}
	}
}

// justified checks that the client has lost something by a gap.
func (c *modelClient) justified(g *eventlog.Gap) {
	if g.Reason == eventlog.GapReset || g.From.Compare(c.m.horizon) < 0 {
		return // nobody knows what came before
	}
	for _, e := range c.m.events {
		if e.id.After(g.From) && !e.id.After(g.To) && c.filter.Match(e.subject) {
			return
		}
	}
	c.m.fail("client with %v was told a gap %v to %v (%s) in which nothing of its own was", c.filter, g.From, g.To, g.Reason)
}

// check accounts for every event that the client should have had.
func (c *modelClient) check() {
	for _, e := range c.m.events {
		n := c.got[e.id]
		if e.taken || !e.id.After(c.start) || !c.filter.Match(e.subject) {
			continue // an ID that was taken back may have been given again
		}
		told := false
		for _, g := range c.gaps {
			told = told || e.id.After(g.From) && !e.id.After(g.To)
		}
		if n > 1 || n == 0 && !told {
			c.m.fail("client with %v, which began behind %v, got event %v (subject %q) %d times, told of a gap: %t", c.filter, c.start, e.id, e.subject, n, told)
		}
	}
}

func TestModel(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 7))
		history := 1 + rng.IntN(12)
		for history < 3 {
			history = 3 // a batch has up to three events
		}
		m := &model{t: t, rng: rng, log: eventlog.New(eventlog.Options{History: history}), history: history}
		m.horizon = m.log.Stats().Floor
		m.say("seed %d, history %d", seed, history)
		m.rewinds = seed%4 == 0
		var clients []*modelClient
		for range 300 {
			switch n := rng.IntN(20); {
			case n < 8:
				m.append()
			case n < 10 && len(clients) < 12:
				clients = append(clients, m.open())
			case n < 16 && len(clients) > 0:
				clients[rng.IntN(len(clients))].read()
			case n < 18 && len(clients) > 0:
				clients[rng.IntN(len(clients))].cut()
			case n == 18 && m.rewinds && rng.IntN(3) == 0:
				m.rewind()
			case n == 18 && !m.rewinds && rng.IntN(3) == 0:
				m.restart(clients)
			case n == 19 && rng.IntN(4) == 0:
				if s := m.log.Stats(); s.Entries > history {
					m.fail("the log holds %d entries of %d", s.Entries, history)
				}
			}
		}
		for _, c := range clients {
			c.read()
			if !m.rewinds {
				c.check()
			}
		}
	}
}
