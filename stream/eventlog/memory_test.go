package eventlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/stream/eventlog"
)

// bare is what an event with so many bytes of data takes without an encoding.
func bare(t testing.TB, data int) int64 {
	t.Helper()
	l := eventlog.New(eventlog.Options{})
	if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: make([]byte, data)}); err != nil {
		t.Fatal(err)
	}
	return l.Stats().Bytes
}

func TestAsManyAsTheBoundHolds(t *testing.T) {
	two := 2 * bare(t, 100)
	for bound, want := range map[int64]int{two: 2, two - 1: 1} {
		l := eventlog.New(eventlog.Options{Bytes: bound})
		for range 3 {
			if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: make([]byte, 100)}); err != nil {
				t.Fatal(err)
			}
		}
		if s := l.Stats(); s.Entries != want {
			t.Errorf("of events of %d bytes, %d are held within %d", two/2, s.Entries, bound)
		}
	}
}

// All that an event keeps in memory counts, not its data alone.
func TestEveryAttributeCounts(t *testing.T) {
	size := func(e eventlog.Event) int64 {
		e.Source = "/s" + e.Source
		l := eventlog.New(eventlog.Options{})
		if _, err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		return l.Stats().Bytes
	}
	long := strings.Repeat("x", 1000)
	least := size(eventlog.Event{})
	for name, e := range map[string]eventlog.Event{
		"data": {Data: []byte(long)}, "name": {Name: long}, "type": {Type: long}, "source": {Source: long}, "ID": {ForeignID: long},
		"subject": {Subject: long}, "schema": {DataSchema: long}, "extension": {Extensions: map[string]json.RawMessage{"a": json.RawMessage(long)}},
	} {
		if n := size(e); n < least+1000 {
			t.Errorf("a long %s counts for %d bytes", name, n-least)
		}
	}
}

// An entry is encoded, and compressed, for the first reader alone.
func TestEncodedOnce(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	encoded, compressed := 0, 0
	f := &eventlog.Format{Name: "f", Encode: func(dst []byte, e *eventlog.Event) (string, []byte, error) {
		encoded++
		return "", append(dst, e.Data...), nil
	}}
	appendN(t, l, 0, 1)
	e := l.All().Entries(nil, 0, 1)[0]
	for range 3 {
		e.Wire(f)
		e.Compressed(f, func(p []byte) []byte { compressed++; return p })
	}
	if encoded != 1 || compressed != 1 {
		t.Errorf("it was encoded %d times and compressed %d times", encoded, compressed)
	}
}

// An event is told even where its format has no data for it: a block without data
// is none, for a client.
func TestFormatWithoutData(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	f := &eventlog.Format{Name: "f", Encode: func([]byte, *eventlog.Event) (string, []byte, error) { return "name", nil, nil }}
	id := appendN(t, l, 0, 1)[0]
	if got, want := string(l.All().Entries(nil, 0, 1)[0].Wire(f)), "event: name\ndata: \nid: "+id.String()+"\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A held is what the model of the memory knows of an event in the log.
type held struct {
	entry *eventlog.Entry
	size  int64
}

// What a log counts is what it holds, whatever comes, is encoded, forgotten,
// encoded again, taken back, or encoded for a reader when the log has dropped it.
func TestWhatIsCounted(t *testing.T) {
	base := bare(t, 0)
	copied := &eventlog.Format{Name: "copied", Encode: func(dst []byte, e *eventlog.Event) (string, []byte, error) {
		return "", append(dst, bytes.ReplaceAll(e.Data, []byte{0}, []byte("x"))...), nil
	}}
	doubled := &eventlog.Format{Name: "doubled", Encode: func(dst []byte, e *eventlog.Event) (string, []byte, error) {
		return "", append(dst, bytes.ReplaceAll(e.Data, []byte{0}, []byte("xx"))...), nil
	}}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		l := eventlog.New(eventlog.Options{History: 2 + rng.IntN(8), Bytes: 3*base + rng.Int64N(6*base)})
		cursor := l.All().Live()
		var in []held              // the log, as it should be
		var ever []*eventlog.Entry // all entries that there were
		put := func(data int) {
			if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: make([]byte, data)}); err != nil {
				t.Fatal(err)
			}
			for {
				entries, err := cursor.Next(context.Background())
				if err != nil {
					continue // a gap
				}
				e := entries[len(entries)-1]
				in, ever = append(in, held{e, base + int64(data)}), append(ever, e)
				return
			}
		}
		check := func(what string) (bareSum int64) {
			s := l.Stats()
			for len(in) > 0 && !in[0].entry.ID.After(s.Floor) {
				in = in[1:]
			}
			for _, h := range in {
				bareSum += h.size
			}
			if s.Entries != len(in) || s.Entries > s.History {
				t.Fatalf("seed %d, %s: %d entries are held, want %d, of %d", seed, what, s.Entries, len(in), s.History)
			}
			if s.Bytes < bareSum || s.Bytes > max(s.Limit, bareSum) {
				t.Fatalf("seed %d, %s: %d bytes are counted; the events take %d, and the bound is %d", seed, what, s.Bytes, bareSum, s.Limit)
			}
			return bareSum
		}
		put(0)
		for range 200 {
			what := "append"
			switch n := rng.IntN(20); {
			case n < 7:
				put(rng.IntN(2 * int(base)))
			case n < 19:
				recent := ever[max(0, len(ever)-12):]
				e := recent[rng.IntN(len(recent))]
				switch what = "encode"; rng.IntN(3) {
				case 0:
					e.Wire(copied)
				case 1:
					e.Wire(doubled)
				case 2:
					e.Compressed(copied, bytes.Clone)
				}
			case len(in) > 0:
				what = "rewind"
				i := rng.IntN(len(in))
				l.Rewind(in[i].entry.ID, eventlog.ID{}, eventlog.GapReset)
				in = in[:i+1]
			}
			check(what)
		}
		for range l.Stats().History {
			put(1)
		}
		if sum, got := check("at the end"), l.Stats().Bytes; got != sum {
			t.Fatalf("seed %d: where nothing is encoded, %d bytes are counted; the events take %d", seed, got, sum)
		}
	}
}
