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
