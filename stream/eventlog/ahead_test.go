package eventlog_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

// Another node gave the ID and this one's follower is behind: the client has
// those events already.
func TestResumeAheadOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{Numbered: true})
		time.Sleep(time.Second)
		ids := appendN(t, l, 0, 1)
		ahead := eventlog.ID{Milli: ids[0].Milli, Seq: 3}
		c := l.All().From(ahead)
		idle(t, c)
		var want []eventlog.ID
		for seq := range uint64(6) {
			e := event(0)
			e.ID = eventlog.ID{Milli: ids[0].Milli, Seq: seq + 1}
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

// No node has given the ID after all: the client is told what it has missed, if
// something has come meanwhile.
func TestResumeAheadOfWhatNeverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for between := range uint64(3) {
			l := eventlog.New(eventlog.Options{Numbered: true})
			time.Sleep(time.Second)
			last := appendN(t, l, 0, 1)[0]
			c := l.All().From(eventlog.ID{Milli: last.Milli, Seq: 5})
			idle(t, c)
			put := func(seq uint64) eventlog.ID {
				e := event(0)
				e.ID = eventlog.ID{Milli: last.Milli, Seq: seq}
				if err := l.Insert(e); err != nil {
					t.Fatal(err)
				}
				return e.ID
			}
			to := last
			for seq := range between {
				to = put(1 + seq)
			}
			beyond := put(9)
			if between > 0 {
				wantGap(t, c, last, to, eventlog.GapUnknown)
			}
			equal(t, read(t, c, 1), []eventlog.ID{beyond})
			idle(t, c)
		}
	})
}

// The node that numbers the events has a clock far ahead of this one's.
func TestResumeAheadByAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{Numbered: true})
		put := func(at time.Time) eventlog.ID {
			e := event(0)
			e.ID = eventlog.IDAt(at)
			if err := l.Insert(e); err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		there := time.Now().Add(time.Hour)
		last := put(there)
		c := l.All().From(eventlog.IDAt(there.Add(5 * time.Second)))
		idle(t, c)
		wantGap(t, l.All().From(eventlog.IDAt(there.Add(time.Minute))), eventlog.IDAt(there.Add(time.Minute)), last, eventlog.GapUnknown)
		put(there.Add(5 * time.Second))
		idle(t, c) // which has that one
		id := put(there.Add(6 * time.Second))
		equal(t, read(t, c, 1), []eventlog.ID{id})
	})
}

// The log goes back while a reader waits that has an ID from beyond what was lost.
// Another node gave it, before it went back itself or since.
func TestResumeAheadOfALogThatGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second)
		base := uint64(time.Now().UnixMilli())
		at := func(n int) eventlog.ID { return eventlog.ID{Milli: base, Seq: uint64(n)} }
		put := func(l *eventlog.Log, numbers ...int) {
			for _, n := range numbers {
				e := event(0)
				e.ID = at(n)
				if err := l.Insert(e); err != nil {
					t.Fatal(err)
				}
			}
		}
		start := func() *eventlog.Log {
			l := eventlog.New(eventlog.Options{Numbered: true, Floor: at(0)})
			put(l, 1, 2, 3)
			return l
		}

		// The log comes to have it: the reader goes on, and has missed nothing.
		l := start()
		c := l.All().From(at(6))
		idle(t, c)
		l.Rewind(at(2), at(4), eventlog.GapReset)
		idle(t, c)
		put(l, 5)
		idle(t, c)
		put(l, 6, 7)
		equal(t, read(t, c, 1), []eventlog.ID{at(7)})
		idle(t, c)

		// It was lost: the reader goes back to what all logs have had.
		l = start()
		c = l.All().From(at(6))
		idle(t, c)
		l.Rewind(at(2), at(4), eventlog.GapReset)
		put(l, 5)
		l.Rewind(at(1), at(5), eventlog.GapReset)
		idle(t, c)
		put(l, 4, 7, 8)
		wantGap(t, c, at(6), at(1), eventlog.GapReset)
		equal(t, read(t, c, 3), []eventlog.ID{at(4), at(7), at(8)})
		idle(t, c)

		// It is known to be lost, or the log forgets everything: it is told at once.
		l = start()
		c = l.All().From(at(6))
		l.Rewind(at(2), at(6), eventlog.GapReset)
		wantGap(t, c, at(6), at(2), eventlog.GapReset)
		l = start()
		c = l.All().From(at(6))
		l.Reset(at(5), eventlog.GapReset)
		wantGap(t, c, at(6), at(5), eventlog.GapReset)
	})
}

// The log has dropped what came after the reader's ID before the reader looked.
func TestResumeAheadOfWhatIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second)
		base := uint64(time.Now().UnixMilli())
		at := func(n int) eventlog.ID { return eventlog.ID{Milli: base, Seq: uint64(n)} }
		l := eventlog.New(eventlog.Options{Numbered: true, Floor: at(0), History: 2})
		c := l.All().From(at(3))
		for n := 1; n <= 9; n++ {
			e := event(0)
			e.ID = at(n)
			if err := l.Insert(e); err != nil {
				t.Fatal(err)
			}
		}
		wantGap(t, c, at(3), at(7), eventlog.GapSlow)
		equal(t, read(t, c, 2), []eventlog.ID{at(8), at(9)})
	})
}
