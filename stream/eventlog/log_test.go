package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

func event(n int) *eventlog.Event {
	return &eventlog.Event{Type: "t", Source: "/s", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func appendN(t testing.TB, l *eventlog.Log, from, n int) []eventlog.ID {
	t.Helper()
	ids := make([]eventlog.ID, n)
	for i := range n {
		e := event(from + i)
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		ids[i] = e.ID
	}
	return ids
}

// next is Next, which must not have to wait.
func next(t testing.TB, c *eventlog.Cursor) ([]*eventlog.Entry, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b, err := c.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the cursor found nothing to read")
	}
	return b, err
}

// read returns the IDs of the next n events.
func read(t testing.TB, c *eventlog.Cursor, n int) []eventlog.ID {
	t.Helper()
	var ids []eventlog.ID
	for len(ids) < n {
		b, err := next(t, c)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(ids), n, err)
		}
		for _, e := range b {
			if e.Event != nil {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids
}

func wantGap(t testing.TB, c *eventlog.Cursor, from, to eventlog.ID, reason string) {
	t.Helper()
	_, err := next(t, c)
	var gap *eventlog.Gap
	if !errors.As(err, &gap) {
		t.Fatalf("got %v, want a gap", err)
	}
	if gap.From != from || gap.To != to || gap.Reason != reason {
		t.Fatalf("got %+v, want from %v to %v, %s", gap, from, to, reason)
	}
}

// idle checks that the cursor has nothing to read. In a synctest bubble the
// time costs nothing.
func idle(t testing.TB, c *eventlog.Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if b, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, %v; want nothing", b, err)
	}
}

func equal(t testing.TB, got, want []eventlog.ID) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("event %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestIDsRiseWhenTheClockStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		ids := appendN(t, l, 0, 3)
		time.Sleep(time.Millisecond)
		ids = append(ids, appendN(t, l, 3, 2)...)
		for i, id := range ids[1:] {
			if !id.After(ids[i]) {
				t.Errorf("%v comes after %v", id, ids[i])
			}
		}
		if want := (eventlog.ID{Milli: ids[0].Milli + 1}); ids[3] != want {
			t.Errorf("a new millisecond begins with %v, want %v", ids[3], want)
		}
	})
}

func TestLiveCursorReadsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		appendN(t, l, 0, 3)
		c := l.All().Live()
		idle(t, c)
		ids := appendN(t, l, 3, 4)
		equal(t, read(t, c, 4), ids)
		idle(t, c)
	})
}

func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := eventlog.IDAt(time.Now())
		l := eventlog.New(eventlog.Options{History: 10})
		time.Sleep(time.Second)
		ids := appendN(t, l, 0, 8)
		for i, id := range ids {
			c := l.All().From(id)
			equal(t, read(t, c, len(ids)-i-1), ids[i+1:])
			idle(t, c)
		}
		equal(t, read(t, l.All().From(eventlog.ID{}), 8), ids)

		// The log cannot vouch for what was before it began.
		before := eventlog.ID{Milli: start.Milli - 5}
		c := l.All().From(before)
		wantGap(t, c, before, start, eventlog.GapRestart)
		equal(t, read(t, c, 8), ids)

		// Between two IDs that exist.
		c = l.All().From(eventlog.ID{Milli: ids[3].Milli, Seq: ids[3].Seq})
		equal(t, read(t, c, 4), ids[4:])

		more := appendN(t, l, 8, 5) // 13 in all, three of them are gone
		all := append(ids, more...)
		c = l.All().From(all[1])
		wantGap(t, c, all[1], all[2], eventlog.GapExpired)
		equal(t, read(t, c, 10), all[3:])
		equal(t, read(t, l.All().From(all[2]), 10), all[3:]) // nothing is missing here

		// An ID that cannot exist yet: live, and told.
		future := eventlog.IDAt(time.Now().Add(time.Hour))
		c = l.All().From(future)
		wantGap(t, c, future, all[12], eventlog.GapUnknown)
		last := appendN(t, l, 13, 1)
		equal(t, read(t, c, 1), last)
	})
}

func TestOvertakenCursorIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 4})
		c := l.All().Live()
		ids := appendN(t, l, 0, 3)
		equal(t, read(t, c, 3), ids)
		ids = append(ids, appendN(t, l, 3, 6)...) // 9 in all, 4 held
		wantGap(t, c, ids[2], ids[4], eventlog.GapSlow)
		equal(t, read(t, c, 4), ids[5:])
		idle(t, c)
		appendN(t, l, 9, 6)
		var gap *eventlog.Gap
		if _, err := next(t, c); !errors.As(err, &gap) || gap.Missed != 2 {
			t.Errorf("of 6 events 4 are held: got %+v, want a gap of 2", err)
		}
	})
}

func TestBoundedByBytes(t *testing.T) {
	l := eventlog.New(eventlog.Options{Bytes: 10_000})
	for i := range 100 {
		appendN(t, l, i, 1)
		if s := l.Stats(); s.Bytes > 10_000 {
			t.Fatalf("the log holds %d bytes", s.Bytes)
		}
	}
	if s := l.Stats(); s.Entries < 10 || s.Entries > 99 {
		t.Errorf("the log holds %d entries", s.Entries)
	}
	// The newest is held, whatever its size.
	big := &eventlog.Event{Source: "/s", Type: "t", ContentType: eventlog.Text, Data: make([]byte, 50_000)}
	if _, err := l.Append(big); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Entries != 1 || s.Last != big.ID {
		t.Errorf("after a big event: %+v", s)
	}
}

func TestInsertWantsRisingIDs(t *testing.T) {
	l := eventlog.New(eventlog.Options{Floor: eventlog.ID{Milli: 1}})
	e := event(1)
	e.ID = eventlog.ID{Milli: 5}
	if err := l.Insert(e); err != nil {
		t.Fatal(err)
	}
	for _, id := range []eventlog.ID{{Milli: 5}, {Milli: 4, Seq: 9}} {
		again := event(2)
		again.ID = id
		if err := l.Insert(again); !errors.Is(err, eventlog.ErrOrder) {
			t.Errorf("Insert %v behind 5-0: got %v, want ErrOrder", id, err)
		}
	}
}

func TestResetTellsEveryReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{Floor: eventlog.ID{Milli: 1}})
		put := func(milli uint64) eventlog.ID {
			e := event(int(milli))
			e.ID = eventlog.ID{Milli: milli}
			if err := l.Insert(e); err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		put(10)
		put(20)
		caughtUp, behind := l.All().From(eventlog.ID{}), l.All().From(eventlog.ID{})
		read(t, caughtUp, 2)
		l.Reset(eventlog.ID{Milli: 5}, eventlog.GapReset) // a failover has lost 10 and 20
		id := put(6)
		wantGap(t, caughtUp, eventlog.ID{Milli: 20}, eventlog.ID{Milli: 5}, eventlog.GapReset)
		wantGap(t, behind, eventlog.ID{Milli: 1}, eventlog.ID{Milli: 5}, eventlog.GapReset)
		equal(t, read(t, caughtUp, 1), []eventlog.ID{id})
		equal(t, read(t, behind, 1), []eventlog.ID{id})
		idle(t, caughtUp)
	})
}

func TestResetBeforeTheFirstEventIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		c := l.All().Live()
		l.Reset(eventlog.ID{Milli: 7}, eventlog.GapRestart)
		idle(t, c)
		if s := l.Stats(); s.Floor != (eventlog.ID{Milli: 7}) {
			t.Errorf("floor %v, want 7-0", s.Floor)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		c := l.All().Live()
		ids := appendN(t, l, 0, 2)
		l.Close("input has ended")
		l.Close("again")
		equal(t, read(t, c, 2), ids)
		_, err := next(t, c)
		var ended *eventlog.Ended
		if !errors.As(err, &ended) || ended.Reason != "input has ended" {
			t.Fatalf("got %v, want Ended", err)
		}
		if _, err := l.Append(event(9)); !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("append to a closed log: %v", err)
		}
	})
}

func TestAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		there := l.All().Live()
		first := appendN(t, l, 0, 1)
		l.Announce("stream-error", []byte(`{"message":"m"}`), true)
		b, err := next(t, there)
		if err != nil || len(b) != 2 || b[1].Event != nil {
			t.Fatalf("got %+v, %v", b, err)
		}
		// Who comes later hears of a fault that lasts, before the events that
		// it asks for, and not again in its old place.
		late := l.All().From(eventlog.ID{})
		b, err = next(t, late)
		if err != nil || len(b) != 1 || b[0].Event != nil {
			t.Fatalf("got %+v, %v; want the fault", b, err)
		}
		equal(t, read(t, late, 1), first)
		idle(t, late)
		some := l.View(eventlog.Filter{"eu.*"}).Live()
		if b, err = next(t, some); err != nil || len(b) != 1 || b[0].Event != nil {
			t.Fatalf("a reader of some subjects got %+v, %v; want the fault", b, err)
		}
		// The next event ends the fault.
		appendN(t, l, 1, 1)
		equal(t, read(t, l.All().From(first[0]), 1), []eventlog.ID{l.Last()})
		idle(t, l.All().Live())
		// So does the recovery, and one that does not last is for those alone
		// who are there.
		l.Announce("stream-error", []byte(`{"message":"m"}`), true)
		l.Recovered()
		idle(t, l.All().Live())
		there = l.All().Live()
		l.Announce("stream-error", []byte(`{"message":"m"}`), false)
		idle(t, l.All().Live())
		if b, err = next(t, there); err != nil || len(b) != 1 || b[0].Event != nil {
			t.Fatalf("got %+v, %v; want what came first after the opening", b, err)
		}
	})
}

// What counts events does not count an announcement, wherever it stands, and however it goes.
func TestAnnouncementIsNoEvent(t *testing.T) {
	l := eventlog.New(eventlog.Options{History: 4})
	want := func(what string, events, notices int) {
		t.Helper()
		s := l.Stats()
		if s.Entries-s.Notices != events || s.Notices != notices || s.LastMinute != events {
			t.Errorf("%s: %d entries, %d of them notices, and %d events in the last minute; want %d and %d", what, s.Entries, s.Notices, s.LastMinute, events, notices)
		}
	}
	announce := func() { l.Announce("stream-error", []byte(`{"message":"m"}`), true) }
	announce()
	want("nothing but an announcement", 0, 1)
	ids := appendN(t, l, 0, 2)
	announce()
	want("two before and behind", 2, 2)
	appendN(t, l, 2, 2)
	want("the first and an event dropped", 3, 1)
	l.Rewind(ids[1], eventlog.ID{}, eventlog.GapReset)
	want("taken back", 1, 0)
	announce()
	appendN(t, l, 4, 2)
	want("and on", 3, 1)
	l.Reset(l.Last(), eventlog.GapReset)
	want("begun anew", 0, 0)
}
