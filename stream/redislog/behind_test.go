package redislog_test

import (
	"slices"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/redislog"
)

// A split is two nodes after a failover that has lost events. The node ahead
// follows the new primary. The node behind publishes to it, and still follows the
// old one: it has not heard yet of what is lost.
type split struct {
	ahead, behind *node
	stayed        *client // of the node behind; it has the numbers 0 to 12
	moved         *client // of the node ahead; it has them, and all that came since

	kept   stream.ID // of number 9
	lost   []stream.ID
	first  stream.ID // that the new primary gave, to number 20
	latest stream.ID // to number 27
	hears  func()    // makes the node behind follow the new primary
}

// newSplit publishes 0 to 9, which the replica has; 10 to 12, which are lost;
// 20 to 26 by the node ahead, and 27 by the one behind.
func newSplit(t *testing.T) *split {
	primary, replica := startRedis(t, "--repl-diskless-sync-delay", "0"), startRedis(t)
	one, two := newProxy(t, primary.addr()), newProxy(t, primary.addr())
	s := &split{ahead: newNode(t, redislog.Options{URL: one.url()}), behind: newNode(t, redislog.Options{URL: two.url(), Check: time.Hour})}
	s.moved, s.stayed = s.ahead.connect(stream.ID{}), s.behind.connect(stream.ID{})
	s.kept = s.ahead.mustPublish(0, 10)[9]
	replica.replicate(primary, 10)
	s.lost = s.ahead.mustPublish(10, 13)
	s.moved.awaitNumber(12)
	s.stayed.awaitNumber(12)

	two.redirectTo(replica.addr(), linkMuffled)
	one.redirect(replica.addr())
	await(t, "the node ahead publishes", func() bool {
		id, err := s.ahead.publish(20)
		s.first = id
		return err == nil
	})
	s.ahead.mustPublish(21, 27)
	await(t, "the node behind publishes", func() bool {
		id, err := s.behind.publish(27)
		s.latest = id
		return err == nil
	})
	s.moved.awaitNumber(27)
	s.hears = func() { two.redirect(replica.addr()) }
	return s
}

// A client was told of the loss, and goes on at a node that has not heard of it.
// That node serves what is lost, and when it hears of the loss it tells it, too:
// the client gets those events again, under the same IDs, and nothing else.
func TestToldOfALossAndThenAtANodeBehind(t *testing.T) {
	t.Parallel()
	s := newSplit(t)
	c := s.behind.connect(s.kept) // where the gap has led it back to
	c.awaitNumber(12)
	for i, m := range c.messages() {
		if m.event == "message" && !slices.Contains(s.lost, m.id) {
			t.Errorf("message %d is %+v, and lost were %v", i, m, s.lost)
		}
	}
	s.hears()
	c.awaitNumber(27)
	c.wants(slices.Concat(upTo(10, 13), upTo(20, 28)), count(c.messages(), "stream-error"), eventlog.GapReset)
}

// A client has events of the new primary already, and goes on at a node that has
// not heard of the failover. It gets none of them again, and is told of nothing:
// what it has is not lost.
func TestResumeAtANodeBehindAFailover(t *testing.T) {
	t.Parallel()
	for name, number := range map[string]int{"published here": 27, "published there": 23} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSplit(t)
			messages := s.moved.messages()
			at := slices.IndexFunc(messages, func(m message) bool { return m.event == "message" && m.number == number })
			c := s.behind.connect(messages[at].id)
			s.hears()
			s.stayed.awaitNumber(27) // the node has heard
			s.ahead.mustPublish(28, 30)
			c.awaitNumber(29)
			c.wants(upTo(number+1, 30), count(c.messages(), "stream-error"))
		})
	}
}

// What a gap says is lost ends before the first event that the new primary gave,
// also where this node has published to it before it heard of the loss.
func TestLossEndsBeforeWhatTheNewPrimaryHas(t *testing.T) {
	t.Parallel()
	s := newSplit(t)
	s.hears()
	s.stayed.awaitNumber(27)
	s.stayed.wants(slices.Concat(upTo(0, 13), upTo(20, 28)), count(s.stayed.messages(), "stream-error"), eventlog.GapReset)
	for _, m := range s.stayed.messages() {
		if to, err := stream.ParseID(m.gap.To); m.event == "gap" && (err != nil || !s.first.After(to)) {
			t.Errorf("told of a gap from %s to %s, and %s is there", m.gap.From, m.gap.To, s.first)
		}
	}
}

// More has come to the new primary than a node reads at once, before the node was
// back: what the old primary alone had is told all the same, and not served any more.
func TestFailoverWithABacklog(t *testing.T) {
	t.Parallel()
	primary, replica := startRedis(t, "--repl-diskless-sync-delay", "0"), startRedis(t)
	link := newProxy(t, primary.addr())
	n := newNode(t, redislog.Options{URL: link.url()})
	c := n.connect(stream.ID{})
	ids := n.mustPublish(0, 10)
	replica.replicate(primary, 10)
	ids = append(ids, n.mustPublish(10, 13)...)
	c.awaitNumber(12)
	newNode(t, redislog.Options{URL: replica.url()}).mustPublish(20, 720)
	link.redirect(replica.addr())
	c.awaitNumber(719)
	c.wants(slices.Concat(upTo(0, 13), upTo(20, 720)), count(c.messages(), "stream-error"), eventlog.GapReset)
	for _, m := range c.messages() {
		if m.event == "gap" && m.gap.To == ids[9].String() {
			return
		}
	}
	t.Errorf("no gap leads back to %s: %+v", ids[9], c.messages()[12:20])
}
