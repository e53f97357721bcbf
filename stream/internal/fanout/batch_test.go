package fanout

import (
	"slices"
	"testing"
	"time"

	"weir/stream/eventlog"
)

// Of how many bytes of a batch were taken follows how many of its entries were.
func TestWholeEntriesOfWhatWasTaken(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	feed := New(l.All(), text, time.Hour)
	defer feed.Close()
	appendN(t, l, 0, 3)
	r := feed.Join(feed.View().From(eventlog.ID{}), "")
	b, err := r.Read()
	if err != nil || len(b.Entries) != 3 {
		t.Fatalf("%+v, %v; want three entries", b, err)
	}
	for _, enc := range []Encoding{{}, {Gzip: true}, {Chunked: true}, {Gzip: true, Chunked: true}} {
		all := b.Bytes(enc)
		end := 0 // of the entries so far
		if enc.Chunked {
			end = len(all) - len(b.Bytes(Encoding{Gzip: enc.Gzip})) - len("\r\n")
		}
		if n := b.Whole(enc, end); n != 0 {
			t.Errorf("%+v: %d entries before the first", enc, n)
		}
		for i, e := range b.Entries {
			if end += len(e.Wire(text)); enc.Gzip {
				end += len(e.Compressed(text, deflate)) - len(e.Wire(text))
			}
			if before, at := b.Whole(enc, end-1), b.Whole(enc, end); before != i || at != i+1 {
				t.Errorf("%+v: %d and %d entries are whole in %d and %d bytes, want %d and %d", enc, before, at, end-1, end, i, i+1)
			}
		}
		if n := b.Whole(enc, len(all)); n != 3 {
			t.Errorf("%+v: all of it has %d entries", enc, n)
		}
	}
	first, rest := b.Cut(2)
	if none, all := b.Cut(0); first.Events != 2 || rest != 1 || none != nil || all != 3 {
		t.Errorf("cut behind two of three: %d and %d; behind none: %v and %d", first.Events, rest, none, all)
	}
	if _, rest := newBatch(text, append(slices.Clip(b.Entries), new(eventlog.Entry))).Cut(1); rest != 2 {
		t.Errorf("behind the first of three events and a notice there are %d events", rest)
	}
}
