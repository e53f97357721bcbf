package redislog_test

import (
	"testing"

	"weir/stream"
	"weir/stream/redislog"
)

// What was published is known after Redis has been killed and has started again
// with its data, to every node: published again, it is in once.
func TestOnceAcrossRestart(t *testing.T) {
	t.Parallel()
	s := startRedis(t, persistent...)
	opts := redislog.Options{URL: s.url(), Timeout: short}
	one := newNode(t, opts)
	submit := func(n *node) (stream.ID, bool) {
		p := &stream.Publication{Events: []*stream.Event{
			{Source: "/s", ForeignID: "7", ContentType: stream.JSON, Data: []byte("3")},
		}}
		await(t, "the event is taken", func() bool { return n.broker.Publish(t.Context(), topic, p) == nil })
		return p.Events[0].ID, len(p.Duplicate) == 1 && p.Duplicate[0]
	}
	first, again := submit(one)
	if again {
		t.Error("the first time it is a duplicate")
	}
	s.kill()
	s.start()
	for name, n := range map[string]*node{"the node that published": one, "another node": newNode(t, opts)} {
		id, again := submit(n)
		if !again || id != first {
			t.Errorf("%s: published again it is %s, and a duplicate: %v; want %s", name, id, again, first)
		}
		c := n.connect(stream.ID{Milli: 1})
		c.awaitNumber(3)
		if got := count(c.messages(), "message"); got != 1 {
			t.Errorf("%s: it is in %d times", name, got)
		}
	}
}
