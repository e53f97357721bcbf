package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

// A follower is a connection that is always caught up, and what it saw.
type follower struct {
	reader Reader
	woken  []time.Duration // since the start
	waited time.Duration   // the longest that an event waited for it
	ids    []eventlog.ID
	gaps   int
}

// text is a format that is as short as can be.
var text = &eventlog.Format{Name: "text", Encode: func(dst []byte, e *eventlog.Event) (string, []byte, error) {
	return "", append(dst, e.Data...), nil
}}

func event(n int) *eventlog.Event {
	return &eventlog.Event{Type: "t", Source: "/s", Data: fmt.Append(nil, n)}
}

func appendN(t testing.TB, l *eventlog.Log, from, n int) (ids []eventlog.ID) {
	t.Helper()
	for i := range n {
		e := event(from + i)
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// next waits for what a reader gets.
func (r *Reader) next(ctx context.Context) (*Batch, error) {
	for {
		wake := r.Wait()
		if b, err := r.Read(); b != nil || err != nil {
			return b, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// follow starts n connections that write in no time, until the context ends.
func follow(ctx context.Context, feed *Feed, n int) []*follower {
	start := time.Now()
	all := make([]*follower, n)
	for i := range all {
		f := &follower{reader: feed.Join(feed.View().Live(), "")}
		all[i] = f
		go func() {
			for {
				b, err := f.reader.next(ctx)
				var gap *eventlog.Gap
				switch {
				case errors.As(err, &gap):
					f.gaps++
					continue
				case err != nil:
					return
				}
				f.woken = append(f.woken, time.Since(start))
				for _, e := range b.Entries {
					f.ids = append(f.ids, e.ID)
					f.waited = max(f.waited, time.Since(e.At))
				}
			}
		}()
	}
	return all
}

// publish appends one event in each step of time, n times.
func publish(t *testing.T, l *eventlog.Log, n int, step time.Duration) (ids []eventlog.ID) {
	for i := range n {
		ids = append(ids, appendN(t, l, i, 1)...)
		time.Sleep(step)
	}
	return ids
}

// Under load, connections are woken in turns that are spread over the pace, so
// that an event waits for the pace at most, and not for all the writing too.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pace, conns, events = 16 * time.Millisecond, 512, 160
		const intervals = int(events * time.Millisecond / pace)
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, pace)
		defer feed.Close()
		time.Sleep(time.Second)
		all := follow(t.Context(), feed, conns)
		ids := publish(t, l, events, time.Millisecond)
		time.Sleep(2 * pace) // the last turns, and a quiet time
		synctest.Wait()
		crowd := map[time.Duration]int{}
		for i, f := range all {
			if !slices.Equal(f.ids, ids) {
				t.Fatalf("connection %d got %d events of %d, or not in order", i, len(f.ids), len(ids))
			}
			if f.woken[0] != 0 {
				t.Errorf("connection %d got the first event after %v, want at once", i, f.woken[0])
			}
			if f.waited > pace {
				t.Errorf("connection %d: an event waited for %v, longer than the pace", i, f.waited)
			}
			// One more for the first event, and one since the first interval is
			// shorter.
			if len(f.woken) > intervals+2 {
				t.Errorf("connection %d was woken %d times in %d intervals", i, len(f.woken), intervals)
			}
			for _, at := range f.woken[1:] {
				crowd[at]++
			}
		}
		if len(feed.shards) < 2 {
			t.Fatal("all connections are in one shard")
		}
		for at, n := range crowd {
			if n > conns/len(feed.shards) {
				t.Errorf("%d connections of %d were woken at once, %v after the start, in %d shards", n, conns, at, len(feed.shards))
			}
		}

		// After a quiet time nobody waits for a turn.
		late := appendN(t, l, events, 1)
		synctest.Wait()
		for i, f := range all {
			if len(f.ids) != events+1 || f.ids[events] != late[0] {
				t.Fatalf("connection %d did not get the event after the pause at once", i)
			}
		}
		// What is no entry of the log reaches them as well, and needs none.
		l.Reset(l.Last(), eventlog.GapReset)
		time.Sleep(pace)
		synctest.Wait()
		for i, f := range all {
			if f.gaps != 1 {
				t.Fatalf("connection %d was told of %d gaps, want 1", i, f.gaps)
			}
		}
	})
}

// Turns are for shards that have connections: when most have gone, the others
// are served as before.
func TestTurnsAfterDepartures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pace, conns = 16 * time.Millisecond, 512
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, pace)
		defer feed.Close()
		ctx, leave := context.WithCancel(t.Context())
		gone := follow(ctx, feed, conns)
		publish(t, l, 10, time.Millisecond)
		leave()
		synctest.Wait()
		for _, f := range gone {
			f.reader.Leave()
		}
		time.Sleep(time.Second)
		stay := follow(t.Context(), feed, 3)
		ids := publish(t, l, 161, time.Millisecond)
		time.Sleep(pace)
		synctest.Wait()
		for i, f := range stay {
			if !slices.Equal(f.ids, ids) {
				t.Errorf("connection %d got %d events of %d, or not in order", i, len(f.ids), len(ids))
			}
			if n := len(f.woken); n < 11 || n > 12 || f.waited > pace {
				t.Errorf("connection %d was woken %d times in 10 intervals, and an event waited %v", i, n, f.waited)
			}
			if !slices.Equal(f.woken, stay[0].woken) {
				t.Errorf("connection %d has a turn of its own: so few need one", i)
			}
		}
	})
}

// Where writing takes long, more is gathered, within a limit.
func TestPaceGrowsWithTheWriting(t *testing.T) {
	f := &Feed{pace: 10 * time.Millisecond, procs: 2, shards: []*Shard{{members: 1}}}
	f.load.rate = 1000
	for _, tc := range []struct{ writing, pace time.Duration }{
		{300 * time.Microsecond, 10 * time.Millisecond}, // there is time to write each event by itself
		{time.Millisecond, 30 * time.Millisecond},
		{8 * time.Millisecond, 42 * time.Millisecond},
		{20 * time.Millisecond, 60 * time.Millisecond},
		{time.Second, 200 * time.Millisecond},
		{0, 10 * time.Millisecond},
	} {
		f.shards[0].sweep.Store(int64(tc.writing))
		if pace, step := f.interval(); pace != tc.pace || step != pace {
			t.Errorf("writing takes %v: the pace is %v with a step of %v, want %v", tc.writing, pace, step, tc.pace)
		}
	}
}

// How long readers take is measured by the time until half of them are back.
func TestWritingIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 10*time.Millisecond)
		defer feed.Close()
		time.Sleep(time.Second)
		for i := range 10 {
			r := feed.Join(feed.View().Live(), "")
			go func() {
				for {
					if _, err := r.next(t.Context()); err != nil {
						return
					}
					time.Sleep(time.Millisecond) // of the bubble: a write
					if i == 9 {
						time.Sleep(3 * time.Second) // a slow one
					}
				}
			}()
		}
		for n := range 50 {
			synctest.Wait()
			appendN(t, l, n, 1)
			time.Sleep(20 * time.Millisecond)
		}
		if d := time.Duration(feed.shards[0].sweep.Load()); d < 900*time.Microsecond || d > time.Millisecond {
			t.Errorf("writing for a millisecond is measured as %v", d)
		}
		time.Sleep(10 * time.Second) // the slow one, before the bubble ends
	})
}

// The first event after a quiet time is released at once; what follows within
// the pace is gathered.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 10*time.Millisecond)
		defer feed.Close()
		time.Sleep(time.Second)
		c := feed.Join(feed.View().Live(), "")
		start := time.Now()
		appendN(t, l, 0, 1)
		b, err := c.next(t.Context())
		if err != nil || b.Events != 1 || time.Since(start) != 0 {
			t.Fatalf("first event: %+v, %v after %v; want it at once", b, err, time.Since(start))
		}
		time.Sleep(time.Millisecond)
		appendN(t, l, 1, 1)
		time.Sleep(2 * time.Millisecond)
		appendN(t, l, 2, 5)
		b, err = c.next(t.Context())
		if err != nil || b.Events != 6 || time.Since(start) != 10*time.Millisecond {
			t.Fatalf("under load: %d events, %v after %v; want 6 after 10ms", b.Events, err, time.Since(start))
		}
		time.Sleep(50 * time.Millisecond) // 20 events a second are no load
		before := time.Now()
		appendN(t, l, 7, 1)
		if b, err = c.next(t.Context()); err != nil || b.Events != 1 || time.Since(before) != 0 {
			t.Fatalf("after a pause: %+v, %v after %v", b, err, time.Since(before))
		}
	})
}
