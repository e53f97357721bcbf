package fanout

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

// A parkedConn is a connection by a pair of sockets, which parks whenever it has
// read all, and what became of it.
type parkedConn struct {
	m        Member
	client   int // the other end
	attended int
	told     []error // by Read
	whole    []*Batch
	lags     []uint64
	rest     int // bytes of a batch that was written in part
	stays    bool
}

func park(t *testing.T, feed *Feed) *parkedConn {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &parkedConn{client: pair[1]}
	t.Cleanup(func() { _, _ = syscall.Close(pair[0]), syscall.Close(pair[1]) })
	c.m = Member{Reader: feed.Join(feed.View().Live(), ""), FD: pair[0], Conn: c}
	if !c.m.Park() {
		t.Fatal("it does not park")
	}
	return c
}

func (c *parkedConn) Wrote(b *Batch, _, _ time.Time, lag uint64) bool {
	c.whole, c.lags = append(c.whole, b), append(c.lags, lag)
	return true
}

func (c *parkedConn) Rest(_ *Batch, rest []byte, _ time.Time) { c.rest += len(rest) }

func (c *parkedConn) Failed(err error) { c.told = append(c.told, err) }

func (c *parkedConn) Attend() {
	c.attended++
	for !c.stays {
		b, err := c.m.Read()
		if err != nil {
			c.told = append(c.told, err)
		}
		if _, over := err.(*eventlog.Ended); over || b == nil && err == nil && c.m.Park() {
			return
		}
	}
}

// received is what the client has got.
func (c *parkedConn) received() []byte {
	buf := make([]byte, 1<<20)
	n, _ := syscall.Read(c.client, buf)
	return buf[:max(n, 0)]
}

// Events, with the end right behind them: a member gets the events where it is
// parked, and is attended to for the end.
func TestParkedGetTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 10*time.Millisecond)
		defer feed.Close()
		c := park(t, feed)
		appendN(t, l, 0, 1)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		appendN(t, l, 1, 1) // both of these come in one turn
		l.Close("over")
		time.Sleep(time.Second)
		synctest.Wait()
		if len(c.whole) != 2 || c.attended != 1 || len(c.told) != 1 {
			t.Errorf("%d batches were written to it, it was attended to %d times and told %v", len(c.whole), c.attended, c.told)
		}
		if got := c.received(); bytes.Count(got, []byte("data: ")) != 2 {
			t.Errorf("the client has %q", got)
		}
	})
}

// A log that goes back, and keeps what came before, keeps it under new indices:
// who is parked has that already, and is told of the rest.
func TestParkedAreToldOfARewind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 0)
		defer feed.Close()
		c := park(t, feed)
		ids := appendN(t, l, 0, 3)
		synctest.Wait()
		l.Rewind(ids[1], eventlog.ID{}, eventlog.GapReset)
		synctest.Wait()
		if n := bytes.Count(c.received(), []byte("data: ")); n != 3 || len(c.told) != 1 || c.attended != 1 {
			t.Errorf("the client has %d events, want 3; it was attended to %d times and told %v", n, c.attended, c.told)
		}
		appendN(t, l, 3, 1)
		synctest.Wait()
		if n := bytes.Count(c.received(), []byte("data: ")); n != 1 {
			t.Errorf("of one event after that the client got %d", n)
		}
	})
}

// A turn that comes before the last one has written leaves nothing to write: nobody
// is attended to for it.
func TestParkedBetweenTwoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 0)
		defer feed.Close()
		c := park(t, feed)
		var due []*Shard
		for n := range 2 {
			feed.mu.Lock()
			feed.armed = true // no turn comes by itself
			feed.mu.Unlock()
			appendN(t, l, n, 1)
			due = append(due, feed.nextTurn()...)
		}
		if len(due) != 2 {
			t.Fatalf("%d turns are due, want two", len(due))
		}
		for _, s := range due {
			s.write()
		}
		synctest.Wait()
		if n := bytes.Count(c.received(), []byte("data: ")); n != 2 || len(c.whole) != 1 || c.attended != 0 {
			t.Errorf("the client has %d events in %d batches, want two in one; it was attended to %d times", n, len(c.whole), c.attended)
		}
		appendN(t, l, 2, 1)
		synctest.Wait()
		if n := bytes.Count(c.received(), []byte("data: ")); n != 1 || c.attended != 0 {
			t.Errorf("of one event after that the client got %d, and was attended to %d times", n, c.attended)
		}
	})
}

// Who came after the last turn and has what the next one brings is left alone.
func TestParkedBeforeTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 10*time.Millisecond)
		defer feed.Close()
		old := park(t, feed)
		appendN(t, l, 0, 1)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		appendN(t, l, 1, 2) // for the next turn
		late := park(t, feed)
		time.Sleep(time.Second)
		synctest.Wait()
		if late.attended != 0 || len(late.whole) != 0 || len(old.whole) != 2 {
			t.Errorf("one that has all was attended to %d times and written %d batches; the other got %d", late.attended, len(late.whole), len(old.whole))
		}
		appendN(t, l, 3, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := bytes.Count(late.received(), []byte("data: ")); n != 1 || late.attended != 0 {
			t.Errorf("then it got %d events and was attended to %d times, want one and never", n, late.attended)
		}
	})
}

// What a member is behind by is told with each batch.
func TestLagOfTheParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 10*time.Millisecond)
		defer feed.Close()
		c := park(t, feed)
		appendN(t, l, 0, 1)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		appendN(t, l, 1, maxBatchEntries+10)
		l.Announce("stream-error", []byte("{}"), false) // which is no event
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []uint64{0, 10, 0}; !slices.Equal(c.lags, want) {
			t.Errorf("the lags are %d, want %d", c.lags, want)
		}
	})
}

// A wake-up that comes while a member is attended to is not lost, and a member
// whose socket does not take all is attended to once.
func TestParkedAreWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{})
		feed := New(l.All(), text, 0)
		defer feed.Close()
		c := park(t, feed)
		c.m.Wake()
		synctest.Wait()
		if c.attended != 1 || c.m.slot == 0 {
			t.Errorf("it was attended to %d times, and is parked: %v", c.attended, c.m.slot != 0)
		}
		c.stays = true
		c.m.Wake()
		synctest.Wait()
		c.m.Wake() // it is attended to
		if c.m.Park() {
			t.Error("it parks in spite of a wake-up")
		}
		if !c.m.Park() {
			t.Error("one wake-up keeps it from parking twice")
		}
		for n := 0; c.rest == 0 && n < 10_000; n++ {
			if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: make([]byte, 10_000)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if c.rest == 0 || c.attended != 3 || c.m.slot != 0 {
			t.Errorf("%d bytes are left, it was attended to %d times, and is parked: %v", c.rest, c.attended, c.m.slot != 0)
		}
	})
}
