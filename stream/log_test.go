package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

func event(n int) *stream.Event {
	return &stream.Event{Type: "t", Source: "/s", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func appendN(t testing.TB, l *stream.Log, from, n int) []stream.ID {
	t.Helper()
	ids := make([]stream.ID, n)
	for i := range n {
		e := event(from + i)
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		ids[i] = e.ID
	}
	return ids
}

// next is Next, which must not have to wait.
func next(t testing.TB, c *stream.Cursor) (*stream.Batch, error) {
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
func read(t testing.TB, c *stream.Cursor, n int) []stream.ID {
	t.Helper()
	var ids []stream.ID
	for len(ids) < n {
		b, err := next(t, c)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(ids), n, err)
		}
		for _, e := range b.Entries {
			if e.Event != nil {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids
}

func wantGap(t testing.TB, c *stream.Cursor, from, to stream.ID, reason string) {
	t.Helper()
	_, err := next(t, c)
	var gap *stream.Gap
	if !errors.As(err, &gap) {
		t.Fatalf("got %v, want a gap", err)
	}
	if gap.From != from || gap.To != to || gap.Reason != reason {
		t.Fatalf("got %+v, want from %v to %v, %s", gap, from, to, reason)
	}
}

// idle checks that the cursor has nothing to read. In a synctest bubble the
// time costs nothing.
func idle(t testing.TB, c *stream.Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if b, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, %v; want nothing", b, err)
	}
}

func equal(t testing.TB, got, want []stream.ID) {
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
		l := stream.NewLog(stream.LogOptions{})
		ids := appendN(t, l, 0, 3)
		time.Sleep(time.Millisecond)
		ids = append(ids, appendN(t, l, 3, 2)...)
		for i, id := range ids[1:] {
			if !id.After(ids[i]) {
				t.Errorf("%v comes after %v", id, ids[i])
			}
		}
		if want := (stream.ID{Milli: ids[0].Milli + 1}); ids[3] != want {
			t.Errorf("a new millisecond begins with %v, want %v", ids[3], want)
		}
	})
}

func TestLiveCursorReadsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{})
		appendN(t, l, 0, 3)
		c := l.Live()
		idle(t, c)
		ids := appendN(t, l, 3, 4)
		equal(t, read(t, c, 4), ids)
		idle(t, c)
	})
}

func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := stream.IDAt(time.Now())
		l := stream.NewLog(stream.LogOptions{History: 10})
		time.Sleep(time.Second)
		ids := appendN(t, l, 0, 8)
		for i, id := range ids {
			c := l.From(id)
			equal(t, read(t, c, len(ids)-i-1), ids[i+1:])
			idle(t, c)
		}
		equal(t, read(t, l.From(stream.ID{}), 8), ids)

		// The log cannot vouch for what was before it began.
		before := stream.ID{Milli: start.Milli - 5}
		c := l.From(before)
		wantGap(t, c, before, start, stream.GapRestart)
		equal(t, read(t, c, 8), ids)

		// Between two IDs that exist.
		c = l.From(stream.ID{Milli: ids[3].Milli, Seq: ids[3].Seq})
		equal(t, read(t, c, 4), ids[4:])

		more := appendN(t, l, 8, 5) // 13 in all, three of them are gone
		all := append(ids, more...)
		c = l.From(all[1])
		wantGap(t, c, all[1], all[2], stream.GapExpired)
		equal(t, read(t, c, 10), all[3:])
		equal(t, read(t, l.From(all[2]), 10), all[3:]) // nothing is missing here

		// An ID that cannot exist yet: live, and told.
		future := stream.IDAt(time.Now().Add(time.Hour))
		c = l.From(future)
		wantGap(t, c, future, all[12], stream.GapUnknown)
		last := appendN(t, l, 13, 1)
		equal(t, read(t, c, 1), last)
	})
}

// Another node gave the ID and this one's follower is behind: the client has
// those events already.
func TestResumeAheadOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{})
		time.Sleep(time.Second)
		ids := appendN(t, l, 0, 1)
		ahead := stream.ID{Milli: ids[0].Milli, Seq: 3}
		c := l.From(ahead)
		idle(t, c)
		var want []stream.ID
		for seq := range uint64(6) {
			e := event(0)
			e.ID = stream.ID{Milli: ids[0].Milli, Seq: seq + 1}
			if err := l.Insert(e); err != nil {
				t.Fatal(err)
			}
			if e.ID.After(ahead) {
				want = append(want, e.ID)
			}
		}
		equal(t, read(t, c, len(want)), want)
		idle(t, c)
	})
}

func TestOvertakenCursorIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{History: 4})
		c := l.Live()
		ids := appendN(t, l, 0, 3)
		equal(t, read(t, c, 3), ids)
		ids = append(ids, appendN(t, l, 3, 6)...) // 9 in all, 4 held
		wantGap(t, c, ids[2], ids[4], stream.GapSlow)
		equal(t, read(t, c, 4), ids[5:])
		idle(t, c)
	})
}

func TestBoundedByBytes(t *testing.T) {
	l := stream.NewLog(stream.LogOptions{Bytes: 10_000})
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
	big := &stream.Event{Source: "/s", Type: "t", ContentType: stream.Text, Data: make([]byte, 50_000)}
	if err := l.Append(big); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Entries != 1 || s.Last != big.ID {
		t.Errorf("after a big event: %+v", s)
	}
}

func TestAppendIsAllOrNone(t *testing.T) {
	l := stream.NewLog(stream.LogOptions{})
	bad := &stream.Event{Data: []byte(`{`)}
	if err := l.Append(event(1), bad, event(2)); !errors.Is(err, stream.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	if s := l.Stats(); s.Entries != 0 {
		t.Errorf("the log holds %d entries of a refused batch", s.Entries)
	}
}

func TestInsertWantsRisingIDs(t *testing.T) {
	l := stream.NewLog(stream.LogOptions{Floor: stream.ID{Milli: 1}})
	e := event(1)
	e.ID = stream.ID{Milli: 5}
	if err := l.Insert(e); err != nil {
		t.Fatal(err)
	}
	for _, id := range []stream.ID{{Milli: 5}, {Milli: 4, Seq: 9}} {
		again := event(2)
		again.ID = id
		if err := l.Insert(again); !errors.Is(err, stream.ErrOrder) {
			t.Errorf("Insert %v behind 5-0: got %v, want ErrOrder", id, err)
		}
	}
}

func TestResetTellsEveryReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{Floor: stream.ID{Milli: 1}})
		put := func(milli uint64) stream.ID {
			e := event(int(milli))
			e.ID = stream.ID{Milli: milli}
			if err := l.Insert(e); err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		put(10)
		put(20)
		caughtUp, behind := l.From(stream.ID{}), l.From(stream.ID{})
		read(t, caughtUp, 2)
		l.Reset(stream.ID{Milli: 5}, stream.GapReset) // a failover has lost 10 and 20
		id := put(6)
		wantGap(t, caughtUp, stream.ID{Milli: 20}, stream.ID{Milli: 5}, stream.GapReset)
		wantGap(t, behind, stream.ID{Milli: 1}, stream.ID{Milli: 5}, stream.GapReset)
		equal(t, read(t, caughtUp, 1), []stream.ID{id})
		equal(t, read(t, behind, 1), []stream.ID{id})
		idle(t, caughtUp)
	})
}

func TestResetBeforeTheFirstEventIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{})
		c := l.Live()
		l.Reset(stream.ID{Milli: 7}, stream.GapRestart)
		idle(t, c)
		if s := l.Stats(); s.Floor != (stream.ID{Milli: 7}) {
			t.Errorf("floor %v, want 7-0", s.Floor)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{})
		c := l.Live()
		ids := appendN(t, l, 0, 2)
		l.Close("input has ended")
		l.Close("again")
		equal(t, read(t, c, 2), ids)
		_, err := next(t, c)
		var ended *stream.Ended
		if !errors.As(err, &ended) || ended.Reason != "input has ended" {
			t.Fatalf("got %v, want Ended", err)
		}
		if err := l.Append(event(9)); !errors.Is(err, stream.ErrClosed) {
			t.Errorf("append to a closed log: %v", err)
		}
	})
}

func TestAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{})
		there := l.Live()
		first := appendN(t, l, 0, 1)
		l.Announce("stream-error", []byte(`{"message":"m"}`), true)
		b, err := next(t, there)
		if err != nil || b.Events != 1 || len(b.Entries) != 2 || b.Entries[1].Event != nil {
			t.Fatalf("got %+v, %v", b, err)
		}
		// Who comes later hears of a fault that lasts, before the events that
		// it asks for, and not again in its old place.
		late := l.From(stream.ID{})
		b, err = next(t, late)
		if err != nil || b.Events != 0 || len(b.Entries) != 1 {
			t.Fatalf("got %+v, %v; want the fault", b, err)
		}
		equal(t, read(t, late, 1), first)
		idle(t, late)
		// The next event ends the fault.
		appendN(t, l, 1, 1)
		equal(t, read(t, l.From(first[0]), 1), []stream.ID{l.Last()})
	})
}

// Publishers and readers of every kind at once: each reader gets a run without
// holes, but for the gaps that it is told of.
func TestConcurrentReaders(t *testing.T) {
	const writers, each = 4, 1500
	place := map[stream.ID]int{} // in the order of the log; guarded by the log, which encodes in that order
	l := stream.NewLog(stream.LogOptions{History: 64, Pace: time.Millisecond, Encode: func(dst []byte, e *stream.Event) ([]byte, error) {
		place[e.ID] = len(place)
		return append(dst, e.Data...), nil
	}})
	type run struct{ from, to stream.ID } // what a reader got, or was told that it did not
	var work, publishing sync.WaitGroup
	reader := func(c interface {
		Next(context.Context) (*stream.Batch, error)
	}) []run {
		var runs []run
		for {
			b, err := c.Next(t.Context())
			var gap *stream.Gap
			var ended *stream.Ended
			switch {
			case errors.As(err, &gap):
				runs = append(runs, run{gap.From, gap.To})
				continue
			case errors.As(err, &ended):
				return runs
			case err != nil:
				t.Error(err)
				return runs
			}
			size := 0
			for _, e := range b.Entries {
				runs = append(runs, run{e.ID, e.ID})
				size += len(e.Wire())
			}
			if size != len(b.Wire) {
				t.Errorf("a batch of %d bytes has %d on the wire", size, len(b.Wire))
			}
		}
	}
	results := make([][]run, 10)
	for i := range results {
		c := l.Live()
		if i%3 == 0 {
			c = l.From(stream.ID{})
		}
		if i%2 == 0 {
			paced := stream.Paced(c)
			work.Go(func() { results[i] = reader(paced) })
		} else {
			work.Go(func() { results[i] = reader(c) })
		}
	}
	for w := range writers {
		publishing.Go(func() {
			for i := range each {
				batch := make([]*stream.Event, 1+rand.IntN(3))
				for j := range batch {
					batch[j] = event(w*each + i)
				}
				if err := l.Append(batch...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	l.Close("done")
	work.Wait()
	for i, runs := range results {
		at := -1
		for _, r := range runs {
			if r.from == r.to { // an event
				if place[r.to] != at+1 {
					t.Fatalf("reader %d: event %d came after event %d", i, place[r.to], at)
				}
			} else if before, known := place[r.from]; known && before != at {
				t.Fatalf("reader %d: a gap from %d was told after event %d", i, before, at)
			}
			at = place[r.to]
		}
		if at != len(place)-1 {
			t.Errorf("reader %d ended at event %d of %d", i, at, len(place))
		}
	}
}

// The first event after a quiet time is released at once; what follows within
// the pace is gathered.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{Pace: 10 * time.Millisecond})
		time.Sleep(time.Second)
		c := stream.Paced(l.Live())
		start := time.Now()
		appendN(t, l, 0, 1)
		b, err := c.Next(t.Context())
		if err != nil || b.Events != 1 || time.Since(start) != 0 {
			t.Fatalf("first event: %+v, %v after %v; want it at once", b, err, time.Since(start))
		}
		time.Sleep(time.Millisecond)
		appendN(t, l, 1, 1)
		time.Sleep(2 * time.Millisecond)
		appendN(t, l, 2, 5)
		b, err = c.Next(t.Context())
		if err != nil || b.Events != 6 || time.Since(start) != 10*time.Millisecond {
			t.Fatalf("under load: %d events, %v after %v; want 6 after 10ms", b.Events, err, time.Since(start))
		}
		time.Sleep(50 * time.Millisecond) // 20 events a second are no load
		before := time.Now()
		appendN(t, l, 7, 1)
		if b, err = c.Next(t.Context()); err != nil || b.Events != 1 || time.Since(before) != 0 {
			t.Fatalf("after a pause: %+v, %v after %v", b, err, time.Since(before))
		}
	})
}

// All connections that are caught up write the very same bytes.
func TestBatchesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{Pace: 10 * time.Millisecond})
		a, b := stream.Paced(l.Live()), stream.Paced(l.Live())
		if err := l.Append(event(0), event(1), event(2)); err != nil {
			t.Fatal(err)
		}
		x, _ := a.Next(t.Context())
		y, _ := b.Next(t.Context())
		if x.Events != 3 || &x.Wire[0] != &y.Wire[0] {
			t.Errorf("two cursors got batches of their own: %d and %d events", x.Events, y.Events)
		}
	})
}
