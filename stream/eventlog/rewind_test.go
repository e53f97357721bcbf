package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/stream/eventlog"
)

// told reads what waits for a cursor: events by their data, gaps by their ends,
// each relative to a base ID.
func told(t *testing.T, c *eventlog.Cursor, base uint64) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got []string
	for {
		batch, err := c.Next(ctx)
		var gap *eventlog.Gap
		switch {
		case errors.Is(err, context.Canceled):
			return got
		case errors.As(err, &gap):
			got = append(got, fmt.Sprintf("gap %d-%d %s", gap.From.Milli-base, gap.To.Milli-base, gap.Reason))
			continue
		case err != nil:
			t.Fatal(err)
		}
		for _, e := range batch {
			got = append(got, string(e.Event.Data))
		}
	}
}

func TestRewind(t *testing.T) {
	base := uint64(time.Now().Add(-time.Minute).UnixMilli())
	at := func(n int) eventlog.ID { return eventlog.ID{Milli: base + uint64(n)} }
	event := func(n int, data string) *eventlog.Event {
		return &eventlog.Event{ID: at(n), ContentType: eventlog.Text, Data: []byte(data)}
	}
	// A log with events 1 to 5 and readers at each of them.
	start := func(t *testing.T) (*eventlog.Log, map[string]*eventlog.Cursor) {
		log := eventlog.New(eventlog.Options{Floor: at(0)})
		readers := map[string]*eventlog.Cursor{"new": log.All().From(eventlog.ID{})}
		for n := 1; n <= 5; n++ {
			if err := log.Insert(event(n, fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			c := log.All().From(eventlog.ID{})
			told(t, c, base)
			readers[fmt.Sprint("at ", n)] = c
		}
		return log, readers
	}
	want := func(t *testing.T, who string, c *eventlog.Cursor, want ...string) {
		t.Helper()
		if got := told(t, c, base); !slices.Equal(got, want) {
			t.Errorf("%s: told %q, want %q", who, got, want)
		}
	}

	t.Run("Readers", func(t *testing.T) {
		log, readers := start(t)
		log.Rewind(at(3), eventlog.ID{}, eventlog.GapReset)
		if got := log.Last(); got != at(3) {
			t.Errorf("the log ends at %s, want %s", got, at(3))
		}
		if err := log.Insert(event(6, "six")); err != nil {
			t.Fatal(err)
		}
		want(t, "new", readers["new"], "gap 3-5 reset", "1", "2", "3", "six")
		want(t, "at 2", readers["at 2"], "gap 3-5 reset", "3", "six")
		want(t, "at 3", readers["at 3"], "gap 3-5 reset", "six")
		want(t, "at 4", readers["at 4"], "gap 4-5 reset", "gap 5-3 reset", "six")
		want(t, "at 5", readers["at 5"], "gap 5-3 reset", "six")
		want(t, "resumed from 2", log.All().From(at(2)), "gap 3-5 reset", "3", "six")
		want(t, "resumed from 4", log.All().From(at(4)), "gap 4-5 reset", "gap 5-3 reset", "six")
		want(t, "resumed from 5", log.All().From(at(5)), "gap 5-3 reset", "six")
		want(t, "resumed from 6", log.All().From(at(6)))
		want(t, "all", log.All().From(eventlog.ID{}), "1", "2", "3", "six")
	})
	t.Run("LostBeyondTheLog", func(t *testing.T) {
		log, readers := start(t)
		log.Rewind(at(5), at(7), eventlog.GapReset)
		want(t, "at 5", readers["at 5"], "gap 5-7 reset")
		want(t, "at 4", readers["at 4"], "gap 5-7 reset", "5")
		want(t, "resumed from 7 elsewhere", log.All().From(at(7)), "gap 7-5 reset")
	})
	t.Run("LowerIDs", func(t *testing.T) {
		log, readers := start(t)
		log.Rewind(at(1), eventlog.ID{}, eventlog.GapReset)
		if err := log.Insert(event(2, "two"), event(4, "four")); err != nil {
			t.Fatal(err)
		}
		want(t, "at 5", readers["at 5"], "gap 5-1 reset", "two", "four")
		want(t, "resumed from 3", log.All().From(at(3)), "gap 3-5 reset", "gap 5-1 reset", "two", "four")
		want(t, "resumed from 5", log.All().From(at(5)), "gap 5-1 reset", "two", "four")
		want(t, "resumed from the new 2", log.All().From(at(2)), "four")
	})
	t.Run("Twice", func(t *testing.T) {
		log, readers := start(t)
		log.Rewind(at(4), eventlog.ID{}, eventlog.GapReset)
		log.Rewind(at(2), eventlog.ID{}, eventlog.GapReset)
		if err := log.Insert(event(6, "six")); err != nil {
			t.Fatal(err)
		}
		want(t, "at 5", readers["at 5"], "gap 5-2 reset", "six")
		want(t, "at 1", readers["at 1"], "gap 2-5 reset", "2", "six")
	})
	t.Run("TwiceWithEventsBetween", func(t *testing.T) {
		log, readers := start(t)
		log.Rewind(at(4), eventlog.ID{}, eventlog.GapReset)
		if err := log.Insert(event(6, "six"), event(7, "seven")); err != nil {
			t.Fatal(err)
		}
		log.Rewind(at(2), eventlog.ID{}, eventlog.GapReset)
		want(t, "at 1", readers["at 1"], "gap 2-7 reset", "2")
		want(t, "at 5", readers["at 5"], "gap 5-7 reset", "gap 7-2 reset")
	})
	t.Run("BehindTheFloor", func(t *testing.T) {
		log, readers := start(t)
		log.Reset(at(4), eventlog.GapSlow)
		log.Rewind(at(3), eventlog.ID{}, eventlog.GapReset)
		if err := log.Insert(event(4, "four")); err != nil {
			t.Fatal(err)
		}
		want(t, "at 5", readers["at 5"], "gap 5-3 reset", "four")
		want(t, "resumed from 1", log.All().From(at(1)), "gap 1-3 reset", "four")
	})
	t.Run("Position", func(t *testing.T) {
		// What is written before the gap is told must not lead beyond it.
		log, readers := start(t)
		log.Reset(at(9), eventlog.GapSlow)
		if got := readers["at 5"].Position(); got != at(5) {
			t.Errorf("before the gap the position is %s, want %s", got, at(5))
		}
		want(t, "at 5", readers["at 5"], "gap 5-9 slow")
		if got := readers["at 5"].Position(); got != at(9) {
			t.Errorf("behind the gap the position is %s, want %s", got, at(9))
		}
	})
	t.Run("EmptyLog", func(t *testing.T) {
		log := eventlog.New(eventlog.Options{})
		log.Reset(at(1), eventlog.GapRestart) // says where it begins
		c := log.All().From(eventlog.ID{})
		log.Reset(at(1), eventlog.GapRestart) // changes nothing
		want(t, "before anything was lost", c)
		log.Reset(at(3), eventlog.GapSlow)
		want(t, "after", c, "gap 1-3 slow")
	})
}
