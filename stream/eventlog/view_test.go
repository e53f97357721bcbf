package eventlog_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

func filter(t testing.TB, patterns ...string) eventlog.Filter {
	t.Helper()
	f, err := eventlog.ParseFilter(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func about(t testing.TB, l *eventlog.Log, subjects ...string) (ids []eventlog.ID) {
	t.Helper()
	for _, subject := range subjects {
		e := &eventlog.Event{Type: "t", Source: "/s", Subject: subject, Data: []byte("1")}
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// The newest of a view of several subjects are the newest of each, also where the
// subjects are those below one prefix.
func TestNewestOfEachSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		ids := about(t, l, "eu.x", "eu.y", "us", "eu.x", "eu.x")
		for _, tc := range []struct {
			patterns []string
			n        int
			want     []eventlog.ID
		}{
			{[]string{"eu.*"}, 1, []eventlog.ID{ids[1], ids[4]}},
			{[]string{"eu.*"}, 2, []eventlog.ID{ids[1], ids[3], ids[4]}},
			{[]string{"eu.x", "eu.y"}, 1, []eventlog.ID{ids[1], ids[4]}},
			{[]string{"eu.x"}, 2, ids[3:]},
			{nil, 3, ids[2:]},
		} {
			c := l.View(filter(t, tc.patterns...)).Newest(tc.n)
			equal(t, read(t, c, len(tc.want)), tc.want)
			idle(t, c)
		}
	})
}

// However a subject is written, a view that was there when the event came has
// the same events as one that is made afterwards.
func TestViewsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		return []string{"a", "b", "a.b", "a.", "a.b.", ".", "a..b", ".a", "a.b.c"}[rng.IntN(9)]
	}
	for range 200 {
		var patterns []string
		for range 1 + rng.IntN(3) {
			if p := word(); eventlog.CheckSubject(p) == nil {
				patterns = append(patterns, p+[]string{"", ".*"}[rng.IntN(2)])
			}
		}
		f := filter(t, patterns...)
		if len(f) == 0 {
			continue
		}
		old, later := eventlog.New(eventlog.Options{}), eventlog.New(eventlog.Options{})
		before := old.View(f)
		for range 20 {
			subject := word()
			about(t, old, subject)
			about(t, later, subject)
		}
		subjects := func(v *eventlog.View) (all []string) {
			s := v.Span()
			for _, e := range v.Entries(nil, s.Tail, s.Head) {
				all = append(all, e.Event.Subject)
			}
			return all
		}
		was, made := subjects(before), subjects(later.View(f))
		if !slices.Equal(was, made) {
			t.Fatalf("a view of %q has the events about %q, one that is made later those about %q", f, was, made)
		}
		if i := slices.IndexFunc(was, func(s string) bool { return !f.Match(s) }); i >= 0 {
			t.Fatalf("a view of %q has an event about %q", f, was[i])
		}
	}
}

// Who watches some subjects is woken by their events and by what concerns every
// reader, and not by other events.
func TestWatchersOfAView(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	woken := 0
	stop := l.View(filter(t, "eu.*")).Watch(func() { woken++ })
	kept := about(t, l, "us")[0]
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"another event", func() { about(t, l, "us", "eu") }, 0},
		{"an event of its own", func() { about(t, l, "eu.de") }, 1},
		{"an announcement", func() { l.Announce("stream-error", []byte("{}"), false) }, 1},
		{"a rewind", func() { l.Rewind(kept, eventlog.ID{}, eventlog.GapReset) }, 1},
		{"the end", func() { l.Close("") }, 1},
	} {
		woken = 0
		step.do()
		if woken != step.want {
			t.Errorf("%s wakes %d times, want %d", step.what, woken, step.want)
		}
	}
	stop()
}

// Who comes back to a view that is made anew is told why its events are gone.
func TestGapOfANewView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 2})
		ids := about(t, l, "x", "x", "x", "x")
		wantGap(t, l.View(filter(t, "x")).From(ids[0]), ids[0], ids[1], eventlog.GapExpired)
		l.Reset(ids[3], eventlog.GapReset)
		wantGap(t, l.View(filter(t, "y")).From(eventlog.ID{Milli: 1}), eventlog.ID{Milli: 1}, ids[3], eventlog.GapReset)
	})
}

// A view that is read again is not among those that make room for others.
func TestViewThatIsReadStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		l.View(filter(t, "x")).Leave()
		v := l.View(filter(t, "x"))
		c := v.Live()
		for i := range 3000 {
			l.View(filter(t, fmt.Sprint("other.", i))).Leave()
		}
		ids := about(t, l, "x")
		equal(t, read(t, c, 1), ids)
		v.Leave()
	})
}

// Filters that nobody reads any more are forgotten, but for the last of them.
func TestIdleViewsAreBounded(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	long := strings.Repeat("x", 200)
	for i := range 2000 {
		l.View(filter(t, fmt.Sprint(long, i))).Leave()
	}
	before := heap()
	for i := range 10_000 {
		l.View(filter(t, fmt.Sprint("y", long, i))).Leave()
	}
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("10,000 filters that nobody reads take %d bytes", grown)
	}
	runtime.KeepAlive(l)
}

// A reader of some subjects is as far from the newest entry as its next one is, whatever
// came in between; by its own events it lags less.
func TestBehindInTheWholeLog(t *testing.T) {
	l := eventlog.New(eventlog.Options{History: 6})
	c := l.View(filter(t, "x")).Live()
	for _, step := range []struct {
		subjects          []string
		lag, lost, behind uint64
	}{
		{[]string{"y", "y"}, 0, 0, 0},
		{[]string{"x"}, 1, 0, 1},
		{[]string{"y", "x", "y"}, 2, 0, 4},
		{[]string{"y", "y", "y"}, 2, 1, 7}, // the first is dropped: left of the oldest of 6
	} {
		about(t, l, step.subjects...)
		if lag, lost, behind := c.Lag(), c.Dropped(), c.Behind(0); lag != step.lag || lost != step.lost || behind != step.behind {
			t.Errorf("after %v it lags by %d, has lost %d and is %d behind, want %+v", step.subjects, lag, lost, behind, step)
		}
	}
	c = l.View(filter(t, "x")).From(eventlog.ID{})
	about(t, l, "x")
	if lag, behind := c.Lag(), c.Behind(0); lag != 2 || behind != 6 {
		t.Errorf("it lags by %d, and is %d behind, want 2 and 6", lag, behind)
	}
	read(t, c, 2)
	if none, one := c.Behind(0), c.Behind(1); none != 0 || one != 1 {
		t.Errorf("it has read all: %d behind, and %d where the last was not sent", none, one)
	}
}

// What a reader has not read is told in events, in every view: the notices among them are
// no events, also when they are dropped, or all that is.
func TestLagCountsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 100})
		all, some := l.All().Live(), l.View(filter(t, "x")).Live()
		want := func(what string, c *eventlog.Cursor, lag, lost uint64) {
			t.Helper()
			if c.Lag() != lag || c.Dropped() != lost {
				t.Errorf("%s: a lag of %d, %d of it dropped; want %d and %d", what, c.Lag(), c.Dropped(), lag, lost)
			}
		}
		announce := func(n int) {
			for range n {
				l.Announce("stream-error", []byte("{}"), false)
			}
		}
		announce(3)
		want("notices alone", all, 0, 0)
		want("notices alone", some, 0, 0)
		about(t, l, "x", "y")
		announce(95)
		want("two events among 98 notices", all, 2, 0)
		want("an event among 98 notices", some, 1, 0)
		time.Sleep(2 * time.Second)
		about(t, l, "y", "y")
		if left, ok := all.TimeToLoss(time.Now()); left == 0 || !ok {
			t.Errorf("only notices are dropped, and events are lost in %v, %v", left, ok)
		}
		want("two notices dropped", all, 4, 0)
		about(t, l, "y", "y")
		want("three notices and an event dropped", all, 6, 1)
		want("three notices and its event dropped", some, 1, 1)
		if left, ok := some.TimeToLoss(time.Now()); left != 0 || !ok {
			t.Errorf("an event is dropped, and is to be lost in %v, %v", left, ok)
		}
		l.Rewind(l.Last(), eventlog.ID{}, eventlog.GapReset)
		announce(60)
		want("taken back", l.All().Live(), 0, 0)
		if s := l.Stats(); s.Notices != 60 || s.Entries != 65 {
			t.Errorf("of %d entries %d are notices", s.Entries, s.Notices)
		}
	})
}

// The oldest event held is not where the log begins.
func TestOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 2})
		time.Sleep(time.Minute)
		l.Announce("stream-error", []byte("{}"), false)
		if oldest := l.Stats().Oldest; !oldest.IsZero() {
			t.Errorf("of no event %v is the oldest", oldest)
		}
		time.Sleep(time.Minute)
		ids := about(t, l, "x")
		if oldest := l.Stats().Oldest; oldest != ids[0] {
			t.Errorf("the oldest is %v, want %v", oldest, ids[0])
		}
		time.Sleep(time.Minute)
		ids = about(t, l, "x", "x", "x")
		if oldest := l.Stats().Oldest; oldest != ids[1] {
			t.Errorf("after some were dropped the oldest is %v, want %v", oldest, ids[1])
		}
	})
}
