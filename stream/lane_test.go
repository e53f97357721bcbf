package stream_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

// A follower is a connection that is always caught up, and what it saw.
type follower struct {
	cur    *stream.PacedCursor
	woken  []time.Duration // since the start
	waited time.Duration   // the longest that an event waited for it
	ids    []stream.ID
	gaps   int
}

// follow starts n connections that write in no time, until the context ends.
func follow(ctx context.Context, l *stream.Log, n int) []*follower {
	start := time.Now()
	all := make([]*follower, n)
	for i := range all {
		f := &follower{cur: stream.Paced(l.Live())}
		all[i] = f
		go func() {
			for {
				b, err := f.cur.Next(ctx)
				var gap *stream.Gap
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
func publish(t *testing.T, l *stream.Log, n int, step time.Duration) (ids []stream.ID) {
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
		l := stream.NewLog(stream.LogOptions{Pace: pace})
		time.Sleep(time.Second)
		all := follow(t.Context(), l, conns)
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
		for at, n := range crowd {
			if n > conns/8 {
				t.Errorf("%d connections of %d were woken at once, %v after the start", n, conns, at)
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
		l.Reset(l.Last(), stream.GapReset)
		time.Sleep(pace)
		synctest.Wait()
		for i, f := range all {
			if f.gaps != 1 {
				t.Fatalf("connection %d was told of %d gaps, want 1", i, f.gaps)
			}
		}
	})
}

// Turns are for lanes that have connections: when most have gone, the others
// are served as before.
func TestTurnsAfterDepartures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pace, conns = 16 * time.Millisecond, 512
		l := stream.NewLog(stream.LogOptions{Pace: pace})
		ctx, leave := context.WithCancel(t.Context())
		gone := follow(ctx, l, conns)
		publish(t, l, 10, time.Millisecond)
		leave()
		synctest.Wait()
		for _, f := range gone {
			stream.Part(f.cur)
		}
		time.Sleep(time.Second)
		stay := follow(t.Context(), l, 3)
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
	synctest.Test(t, func(t *testing.T) {
		l := stream.NewLog(stream.LogOptions{Pace: 10 * time.Millisecond})
		f := follow(t.Context(), l, 1)[0]
		for _, tc := range []struct{ writing, waits time.Duration }{
			{300 * time.Microsecond, 10 * time.Millisecond}, // there is time to write each event by itself
			{time.Millisecond, 30 * time.Millisecond},
			{8 * time.Millisecond, 42 * time.Millisecond},
			{20 * time.Millisecond, 60 * time.Millisecond},
			{time.Second, 200 * time.Millisecond},
			{0, 10 * time.Millisecond},
		} {
			time.Sleep(time.Second)
			stream.SetWriting(f.cur, tc.writing)
			f.waited = 0
			publish(t, l, 2000, time.Millisecond)
			time.Sleep(time.Second)
			synctest.Wait()
			if f.waited < tc.waits-time.Millisecond || f.waited > tc.waits {
				t.Errorf("writing takes %v: an event waited %v, want %v, or a millisecond less", tc.writing, f.waited, tc.waits)
			}
		}
	})
}
