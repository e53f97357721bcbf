package redislog_test

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/redislog"
)

// short is for tests in which Redis does not answer: they wait for it.
const short = time.Second

// Redis is killed and comes back with all of its data: the streams stay open
// and say so once, and nothing is missed.
func TestKilledWithData(t *testing.T) {
	t.Parallel()
	s := startRedis(t, persistent...)
	n := newNode(t, redislog.Options{URL: s.url()})
	c := n.connect(stream.ID{})
	ids := n.mustPublish(0, 10)
	c.awaitNumber(9)

	s.kill()
	if n.refuses(-1, 2*time.Second) {
		t.Error("it is said that an event may be in, though no connection was possible")
	}
	c.awaitCount("stream-error", 1)
	n.awaitState(stream.SourceDown)
	n.refuses(-2, 2*time.Second)

	s.start()
	n.awaitState(stream.SourceUp)
	await(t, "publishing works", func() bool { _, err := n.publish(10); return err == nil })
	n.mustPublish(11, 20)
	c.awaitNumber(19)
	c.wants(upTo(0, 20), 1)
	resumed := n.connect(ids[4])
	resumed.awaitNumber(19)
	resumed.wants(upTo(5, 20), 0)
}

// Redis is killed and comes back empty: every client is told.
func TestKilledWithoutData(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url()})
	// A second node that does not see the last events before they are gone.
	link := newProxy(t, s.addr())
	behind := newNode(t, redislog.Options{URL: link.url()})
	c, plain, late := n.connect(stream.ID{}), n.connectFormat(stream.ID{}, "plain"), behind.connect(stream.ID{})
	ids := n.mustPublish(0, 10)
	for _, c := range []*client{c, plain, late} {
		c.awaitNumber(9)
	}
	link.set(linkCut)
	ids = append(ids, n.mustPublish(10, 12)...)
	c.awaitNumber(11)
	plain.awaitNumber(11)

	s.kill()
	s.lose()
	for _, c := range []*client{c, plain, late} {
		c.awaitCount("stream-error", 1)
	}
	s.start()
	link.set(linkUp)
	for _, c := range []*client{c, plain, late} {
		c.awaitCount("gap", 1)
	}
	n.awaitState(stream.SourceUp)
	behind.awaitState(stream.SourceUp)
	await(t, "publishing works", func() bool { _, err := n.publish(12); return err == nil })
	n.mustPublish(13, 20)
	for _, c := range []*client{c, plain, late} {
		c.awaitNumber(19)
	}
	c.wants(upTo(0, 20), 1, eventlog.GapReset)
	plain.wants(upTo(0, 20), 1, eventlog.GapReset)
	late.wants(slices.Concat(upTo(0, 10), upTo(12, 20)), 1, eventlog.GapReset)
	for _, n := range []*node{n, behind} {
		for _, format := range []stream.Format{stream.FormatJSON, "plain"} {
			resumed := n.connectFormat(ids[5], format)
			resumed.awaitNumber(19)
			resumed.wants(upTo(12, 20), 0, eventlog.GapReset)
		}
	}
	// A node that starts now knows nothing of what was, but knows that.
	fresh := newNode(t, redislog.Options{URL: s.url()}).connect(ids[5])
	fresh.awaitNumber(19)
	fresh.wants(upTo(12, 20), 0, eventlog.GapRestart)
}

// Redis acknowledges an event and loses it before the node that published it
// has seen it come back: that is told nevertheless.
func TestAcknowledgedAndLost(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	link := newProxy(t, s.addr())
	n := newNode(t, redislog.Options{URL: link.url(), Check: time.Hour})
	c := n.connect(stream.ID{})
	seen := n.mustPublish(0, 1)
	c.awaitNumber(0)
	s.do("SAVE")
	link.set(linkMuffled)
	lost := n.mustPublish(1, 2)
	s.kill()
	s.start()
	link.set(linkUp)
	c.awaitCount("gap", 1)
	n.mustPublish(2, 3)
	c.awaitNumber(2)
	c.wants([]int{0, 2}, count(c.messages(), "stream-error"), eventlog.GapReset)
	for _, m := range c.messages() {
		if m.event != "gap" {
			continue
		}
		if to, err := stream.ParseID(m.gap.To); err != nil || m.gap.From != seen[0].String() || lost[0].After(to) {
			t.Errorf("told of a gap from %s to %s, want from %s to %s or later", m.gap.From, m.gap.To, seen[0], lost[0])
		}
	}
}

// Redis stops for longer than anybody waits, and goes on.
func TestStopped(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url(), Timeout: short})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 5)
	c.awaitNumber(4)

	s.signal(syscall.SIGSTOP)
	if !n.refuses(100, 5*short) {
		t.Error("it is said that an event is not in, though Redis may have it")
	}
	c.awaitCount("stream-error", 1)
	n.refuses(101, 5*short)
	s.signal(syscall.SIGCONT)

	n.awaitState(stream.SourceUp)
	await(t, "publishing works", func() bool { _, err := n.publish(5); return err == nil })
	n.mustPublish(6, 10)
	c.awaitNumber(9)
	// What was not acknowledged may be in, once.
	all := c.messages()
	var sure []int
	maybe := make(map[int]int)
	for _, m := range all {
		switch {
		case m.event == "message" && m.number < 100 && m.number != 5:
			sure = append(sure, m.number)
		case m.event == "message":
			maybe[m.number]++
		}
	}
	if want := []int{0, 1, 2, 3, 4, 6, 7, 8, 9}; !slices.Equal(sure, want) {
		t.Errorf("got the events %v, want %v", sure, want)
	}
	if maybe[100] > 1 || maybe[101] > 1 {
		t.Errorf("events that were published once came %v times", maybe)
	}
	if n := count(all, "stream-error"); n != 1 {
		t.Errorf("told of the fault %d times, want once", n)
	}
	if n := count(all, "gap"); n != 0 {
		t.Errorf("told of %d gaps, want none", n)
	}
}

// A node's link is cut, restored, then swallows everything, and is restored:
// the node catches up with what other nodes published.
func TestLinkCut(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	other := newNode(t, redislog.Options{URL: s.url()})
	link := newProxy(t, s.addr())
	n := newNode(t, redislog.Options{URL: link.url(), Timeout: short})
	c, elsewhere := n.connect(stream.ID{}), other.connect(stream.ID{})
	n.mustPublish(0, 5)
	c.awaitNumber(4)
	next := 5
	for outage, how := range []linkState{linkCut, linkStuck} {
		link.set(how)
		n.refuses(-1, 5*short)
		other.mustPublish(next, next+700)
		c.awaitCount("stream-error", outage+1)
		n.refuses(-1, 5*short)
		// Streams open meanwhile, and new clients hear of the fault.
		newcomer := n.connect(stream.ID{})
		newcomer.awaitCount("stream-error", 1)
		newcomer.cancel()
		link.set(linkUp)
		c.awaitNumber(next + 699)
		n.awaitState(stream.SourceUp)
		next += 700
	}
	await(t, "publishing works", func() bool { _, err := n.publish(next); return err == nil })
	c.awaitNumber(next)
	elsewhere.awaitNumber(next)
	unconfirmed := func(c *client) { // an event that was refused may be in
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = slices.DeleteFunc(c.got, func(m message) bool { return m.event == "message" && m.number == -1 })
	}
	unconfirmed(c)
	unconfirmed(elsewhere)
	c.wants(upTo(0, next+1), 2)
	elsewhere.wants(upTo(0, next+1), 0)
}

// The stream is deleted behind the node's back, and begins again with IDs that
// went back.
func TestRewoundWhileConnected(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url()})
	c, plain := n.connect(stream.ID{}), n.connectFormat(stream.ID{}, "plain")
	ids := n.mustPublish(0, 10)
	c.awaitNumber(9)
	plain.awaitNumber(9)
	s.do("DEL", "weir:topic:"+topic)
	low := stream.ID{Milli: 1000, Seq: 1}
	s.do("XADD", "weir:topic:"+topic, low.String(), "v", "1", "a", "{}", "d", "10")
	c.awaitNumber(10)
	plain.awaitNumber(10)
	c.wants(upTo(0, 11), 0, eventlog.GapReset)
	plain.wants(upTo(0, 11), 0, eventlog.GapReset)
	// Redis goes on from the clock.
	n.mustPublish(11, 13)
	for _, resume := range []*client{n.connect(ids[3]), n.connectFormat(ids[9], "plain")} {
		resume.awaitNumber(12)
		resume.wants(upTo(10, 13), 0, eventlog.GapReset)
	}
	c.awaitNumber(12)
	c.wants(upTo(0, 13), 0, eventlog.GapReset)
}

func TestFlushed(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url()})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 10)
	c.awaitNumber(9)
	s.do("FLUSHALL")
	c.awaitCount("gap", 1)
	n.mustPublish(10, 20)
	c.awaitNumber(19)
	c.wants(upTo(0, 20), 0, eventlog.GapReset)
}

// Redis comes back with data from a while ago: what it still holds is not
// missed, what it lost is told, and nothing comes twice.
func TestOlderData(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url()})
	c, plain := n.connect(stream.ID{}), n.connectFormat(stream.ID{}, "plain")
	ids := n.mustPublish(0, 10)
	s.do("SAVE")
	ids = append(ids, n.mustPublish(10, 15)...)
	c.awaitNumber(14)
	plain.awaitNumber(14)
	s.kill()
	s.start()
	c.awaitCount("gap", 1)
	n.awaitState(stream.SourceUp)
	await(t, "publishing works", func() bool { _, err := n.publish(20); return err == nil })
	n.mustPublish(21, 25)
	for _, c := range []*client{c, plain} {
		c.awaitNumber(24)
		faults := count(c.messages(), "stream-error") // it may have been back sooner than it was missed
		c.wants(slices.Concat(upTo(0, 15), upTo(20, 25)), min(faults, 1), eventlog.GapReset)
	}
	for _, format := range []stream.Format{stream.FormatJSON, "plain"} {
		for at, want := range map[int][]int{4: slices.Concat(upTo(5, 10), upTo(20, 25)), 9: upTo(20, 25), 12: upTo(20, 25), 14: upTo(20, 25)} {
			resumed := n.connectFormat(ids[at], format)
			resumed.awaitNumber(24)
			resumed.wants(want, 0, eventlog.GapReset)
		}
	}
}

// A replica takes over behind the same address and lacks the last events. New
// events came before this node was back, so that the IDs alone look whole.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary, replica := startRedis(t), startRedis(t)
	link := newProxy(t, primary.addr())
	n := newNode(t, redislog.Options{URL: link.url()})
	c := n.connect(stream.ID{})
	ids := n.mustPublish(0, 10)
	replica.replicate(primary, 10)
	ids = append(ids, n.mustPublish(10, 13)...)
	c.awaitNumber(12)
	survivor := newNode(t, redislog.Options{URL: replica.url()})
	survivor.mustPublish(20, 27)
	link.redirect(replica.addr())
	c.awaitNumber(26)
	c.wants(slices.Concat(upTo(0, 13), upTo(20, 27)), 0, eventlog.GapReset)
	for at, want := range map[int][]int{4: slices.Concat(upTo(5, 10), upTo(20, 27)), 11: upTo(20, 27), 12: upTo(20, 27)} {
		resumed := n.connect(ids[at])
		resumed.awaitNumber(26)
		resumed.wants(want, 0, eventlog.GapReset)
	}
}

// While a node is cut off, more comes than Redis keeps.
func TestTrimmedPastANode(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	other := newNode(t, redislog.Options{URL: s.url(), MaxLen: 100})
	link := newProxy(t, s.addr())
	n := newNode(t, redislog.Options{URL: link.url(), MaxLen: 100})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 10)
	c.awaitNumber(9)
	link.set(linkCut)
	ids := other.mustPublish(10, 700)
	link.set(linkUp)
	c.awaitNumber(699)
	// A fault may be told as well: Redis was away for as long as the machine needed.
	all := slices.DeleteFunc(c.messages(), func(m message) bool { return m.event == "stream-error" })
	at := slices.IndexFunc(all, func(m message) bool { return m.event == "gap" })
	if at < 1 || at+1 >= len(all) {
		t.Fatalf("no gap was told between events: %+v", all)
	}
	// The gap ends just before the first event that follows, and what it
	// covers is all that is missing.
	resumedAt := all[at+1]
	if all[at].gap.From != all[at-1].id.String() {
		t.Errorf("the gap begins at %s, and the event before it is %s", all[at].gap.From, all[at-1].id)
	}
	to, err := stream.ParseID(all[at].gap.To)
	if err != nil {
		t.Fatal(err)
	}
	if !resumedAt.id.After(to) || ids[resumedAt.number-11].After(to) {
		t.Errorf("the gap ends at %s, and the stream goes on with %s, before which there was %s", to, resumedAt.id, ids[resumedAt.number-11])
	}
	faults := min(count(c.messages(), "stream-error"), 1)
	c.wants(slices.Concat(upTo(0, 10), upTo(resumedAt.number, 700)), faults, eventlog.GapSlow)
}

// An empty topic is followed, and all of its first events are trimmed before
// the node sees them.
func TestTrimmedPastAnEmptyNode(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	link := newProxy(t, s.addr())
	n := newNode(t, redislog.Options{URL: link.url(), MaxLen: 100})
	c := n.connect(stream.ID{})
	link.set(linkCut)
	newNode(t, redislog.Options{URL: s.url(), MaxLen: 100}).mustPublish(0, 400)
	link.set(linkUp)
	c.awaitNumber(399)
	all := c.messages()
	first := slices.IndexFunc(all, func(m message) bool { return m.event == "message" })
	c.wants(upTo(all[first].number, 400), min(count(all, "stream-error"), 1), eventlog.GapSlow)
}

// Over a link that is too slow for a whole page within the timeout, a node
// catches up in smaller steps.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	b := openBroker(t, redislog.Options{URL: s.url()})
	var batch []*stream.Event
	for range 100 {
		batch = append(batch, &stream.Event{ContentType: stream.Text, Data: bytes.Repeat([]byte("x"), 64<<10)})
	}
	if err := b.Publish(t.Context(), topic, &stream.Publication{Events: batch}); err != nil {
		t.Fatal(err)
	}
	link := newProxy(t, s.addr())
	link.rate = 4 << 20 // of 6.4 MB
	n := newNodeStarting(t, openBroker(t, redislog.Options{URL: link.url(), Timeout: short}))
	n.awaitState(stream.SourceUp)
	if got := n.hub.Health()[topic].Log; got.Entries < 100 || got.Last != batch[99].ID {
		t.Errorf("the node has %d entries up to %s, want 100 up to %s", got.Entries, got.Last, batch[99].ID)
	}
}
