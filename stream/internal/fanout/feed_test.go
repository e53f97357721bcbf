package fanout

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

// All connections that are caught up write the very same bytes, also after many
// turns.
func TestBatchesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 10*time.Millisecond)
		defer feed.Close()
		a, b := feed.Join(feed.View().Live(), ""), feed.Join(feed.View().Live(), "")
		for range 2 * maxShared {
			if _, err := l.Append(event(0), event(1), event(2)); err != nil {
				t.Fatal(err)
			}
			x, _ := a.next(t.Context())
			y, _ := b.next(t.Context())
			if x.Events != 3 || &x.Bytes(Encoding{})[0] != &y.Bytes(Encoding{})[0] {
				t.Fatalf("two readers got batches of their own: %d and %d events", x.Events, y.Events)
			}
		}
	})
}

// Readers that stand anywhere do not make the feed hold a batch for each.
func TestSharedBatchesAreBounded(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	ids := appendN(t, l, 0, 3*maxShared)
	feed := New(l.All(), text, time.Hour)
	defer feed.Close()
	for _, id := range ids[:len(ids)-1] {
		r := feed.Join(feed.View().From(id), "")
		if b, err := r.Read(); b == nil || err != nil {
			t.Fatalf("behind %v: %v", id, err)
		}
	}
	if n := len(feed.shared.held); n == 0 || n > maxShared {
		t.Errorf("%d batches are held", n)
	}
}

// An event is written whatever its size, by itself.
func TestLargeEvent(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	feed := New(l.All(), text, time.Hour)
	defer feed.Close()
	first := appendN(t, l, 0, 1)
	if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: []byte(strings.Repeat("x", 2*MaxBatchBytes))}); err != nil {
		t.Fatal(err)
	}
	last := appendN(t, l, 2, 1)
	r := feed.Join(feed.View().From(eventlog.ID{}), "")
	for _, want := range []eventlog.ID{first[0], {}, last[0]} {
		b, err := r.Read()
		if err != nil || b == nil || len(b.Entries) != 1 {
			t.Fatalf("got %+v, %v; want one event", b, err)
		}
		if got := b.Last(); got != want && want != (eventlog.ID{}) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// Who resumes is not told again what was announced before he came.
func TestOldAnnouncements(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	feed := New(l.All(), text, 0)
	defer feed.Close()
	fault := func() { l.Announce("stream-error", []byte("{}"), false) }
	fault()
	ids := appendN(t, l, 0, 1)
	fault()
	ids = append(ids, appendN(t, l, 1, 1)...)
	fault()
	r := feed.Join(feed.View().From(eventlog.ID{}), "")
	b, err := r.Read()
	if err != nil || len(b.Entries) != 2 || b.Events != 2 || b.Last() != ids[1] {
		t.Fatalf("got %+v, %v; want the two events", b, err)
	}
	fault()
	if b, err = r.next(t.Context()); err != nil || len(b.Entries) != 1 || b.Events != 0 {
		t.Errorf("got %+v, %v; want the announcement that has come since", b, err)
	}
}

// Connections that share something are written to together.
func TestTogether(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	feed := New(l.All(), text, 0)
	defer feed.Close()
	shards := map[int]bool{}
	for _, conn := range strings.Fields("a b c d e f g h i j k l m n o p") {
		var readers []Reader
		for range 3 {
			readers = append(readers, feed.Join(feed.View().Live(), conn))
		}
		if readers[0].Shard() != readers[1].Shard() || readers[0].Shard() != readers[2].Shard() {
			t.Errorf("the streams of one connection are apart")
		}
		shards[readers[0].Shard()] = true
	}
	if len(shards) < 2 {
		t.Error("all connections are in one shard")
	}
}

// Who leaves gives its place back.
func TestPlacesAreGivenBack(t *testing.T) {
	l := eventlog.New(eventlog.Options{})
	feed := New(l.All(), text, 0)
	defer feed.Close()
	feed.procs = 4 // more shards than one, whatever the machine
	var all []Reader
	for range 5 * shardSize {
		all = append(all, feed.Join(feed.View().Live(), ""))
	}
	for i := range all {
		all[i].Leave()
	}
	for i, s := range feed.shards {
		if s.members != 0 {
			t.Errorf("shard %d has %d members when all have gone", i, s.members)
		}
	}
	if len(feed.shards) < 5 || feed.conns != 0 {
		t.Errorf("%d shards, %d connections", len(feed.shards), feed.conns)
	}
}

// What there is to tell keeps a member from being parked.
func TestNotParkedWithSomethingToTell(t *testing.T) {
	for name, happen := range map[string]func(l *eventlog.Log){
		"the end": func(l *eventlog.Log) { l.Close("") },
		"a reset": func(l *eventlog.Log) { l.Reset(l.Last(), eventlog.GapReset) },
		"nothing": nil,
	} {
		l := eventlog.New(eventlog.Options{})
		appendN(t, l, 0, 2)
		feed := New(l.All(), text, time.Hour)
		m := &Member{Reader: feed.Join(feed.View().From(eventlog.ID{}), "")}
		for {
			if b, err := m.Read(); err != nil {
				t.Fatal(err)
			} else if b == nil {
				break
			}
		}
		if happen != nil {
			happen(l)
		}
		if parked := m.Park(); parked != (happen == nil) {
			t.Errorf("%s: parked: %v", name, parked)
		}
		if happen != nil {
			var gap *eventlog.Gap
			var ended *eventlog.Ended
			if _, err := m.Read(); !errors.As(err, &gap) && !errors.As(err, &ended) {
				t.Errorf("%s: it is told %v", name, err)
			}
		}
		feed.Close()
	}
}

// What is shared is few, small, and soon gone where nothing comes.
func TestSharedBatchesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		for range 100 {
			if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: bytes.Repeat([]byte("x"), 60<<10)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: bytes.Repeat([]byte("x"), 1<<20)}); err != nil {
			t.Fatal(err)
		}
		feed := New(l.All(), text, 0)
		defer feed.Close()
		r := feed.Join(l.All().From(eventlog.ID{}), "")
		defer r.Leave()
		for n := 0; n < 101; {
			b, err := r.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n += b.Events
		}
		shared := func() (n, size int) {
			feed.shared.mu.Lock()
			defer feed.shared.mu.Unlock()
			for _, b := range feed.shared.held {
				size += len(b.Bytes(Encoding{}))
			}
			return len(feed.shared.held), size
		}
		if n, size := shared(); n == 0 || n > maxShared || size > maxShared*maxOneShare {
			t.Errorf("%d batches of %d bytes are shared", n, size)
		}
		time.Sleep(sharedFor)
		synctest.Wait()
		if n, _ := shared(); n != 0 {
			t.Errorf("%d batches are left", n)
		}
	})
}
