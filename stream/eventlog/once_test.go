package eventlog_test

import (
	"slices"
	"testing"

	"weir/stream/eventlog"
)

// An event is put in once for as long as the log holds it, and no longer.
func TestPutInOnce(t *testing.T) {
	l := eventlog.New(eventlog.Options{History: 3})
	put := func(ids ...string) (duplicate []bool, given []eventlog.ID) {
		t.Helper()
		events := make([]*eventlog.Event, len(ids))
		for i, id := range ids {
			events[i] = &eventlog.Event{Type: "t", Source: "/shop", ForeignID: id, Data: []byte("1")}
		}
		duplicate, err := l.Append(events...)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			given = append(given, e.ID)
		}
		return duplicate, given
	}
	want := func(when string, got []bool, want ...bool) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: duplicates %v, want %v", when, got, want)
		}
	}
	duplicate, first := put("a", "b")
	want("new events", duplicate)
	duplicate, again := put("b", "c", "c")
	want("one that is held, and one twice in a batch", duplicate, true, false, true)
	if again[0] != first[1] || again[2] != again[1] || again[1] == first[1] {
		t.Errorf("the IDs are %v after %v", again, first)
	}
	if n := l.Stats().Entries; n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
	l.Rewind(first[1], eventlog.ID{}, eventlog.GapReset) // c is taken back
	duplicate, _ = put("c")
	want("one that was taken back", duplicate)
	duplicate, _ = put("d") // evicts a
	want("a new one", duplicate)
	duplicate, last := put("a")
	want("one that is not held any more", duplicate)
	if !last[0].After(again[1]) || l.Last() != last[0] {
		t.Errorf("it has the ID %v, the log's last is %v", last[0], l.Last())
	}
}
