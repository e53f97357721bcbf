package redislog_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/redislog"
)

// A publication with a checkpoint that reaches Redis when the source has gone
// on without it is refused: its lines would be in twice.
func TestLatePublication(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	link := newProxy(t, s.addr())
	b := openBroker(t, redislog.Options{URL: link.url(), Timeout: 3 * time.Second})
	publish := func(data, checkpoint string) error {
		e := &stream.Event{ContentType: stream.JSON, Data: []byte(data)}
		return b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{e}, Checkpoint: []byte(checkpoint)})
	}
	want := func(checkpoint string) {
		t.Helper()
		if got, err := b.Checkpoint(t.Context(), topic); err != nil || string(got) != checkpoint {
			t.Errorf("the checkpoint is %q, %v, want %q", got, err, checkpoint)
		}
	}
	if err := publish("1", "one"); err != nil {
		t.Fatal(err)
	}
	link.hold()
	if err := publish("2", "two"); !errors.Is(err, redislog.ErrUnconfirmed) {
		t.Fatalf("publish over a link that is held: %v", err)
	}
	want("one")
	before := calls(s, "evalsha")
	link.release()
	await(t, "the late one has reached Redis", func() bool { return failed(s) > 0 && calls(s, "evalsha") > before })
	want("one")
	if n := s.do("XLEN", "weir:topic:"+topic); n != int64(1) {
		t.Errorf("there are %v events, want 1", n)
	}
	if err := publish("2", "two"); err != nil { // the source does it again
		t.Fatal(err)
	}
	want("two")
}

// An event that Redis still has is found when it is published again, however
// many have come, and by another process, too.
func TestPublishedAgainLater(t *testing.T) {
	t.Parallel()
	const keep = 20
	s := startRedis(t)
	opts := redislog.Options{URL: s.url(), MaxLen: keep}
	one, two := openBroker(t, opts), openBroker(t, opts)
	var ids []stream.ID
	publish := func(b *redislog.Broker, n int) (stream.ID, bool) {
		e := &stream.Event{Source: "/s", ForeignID: strconv.Itoa(n), ContentType: stream.JSON, Data: []byte("1")}
		p := &stream.Publication{Events: []*stream.Event{e}}
		if err := b.Publish(t.Context(), topic, p); err != nil {
			t.Fatal(err)
		}
		return e.ID, p.Duplicate != nil
	}
	for n := range 500 {
		id, again := publish(one, n)
		if again {
			t.Fatalf("event %d is said to be there already", n)
		}
		ids = append(ids, id)
		if n%5 != 0 {
			continue
		}
		for back := 0; back < keep && back <= n; back += 3 {
			if id, again := publish(two, n-back); !again || id != ids[n-back] {
				t.Fatalf("event %d, published again behind event %d: %v, ID %s, want %s", n-back, n, again, id, ids[n-back])
			}
		}
	}
	if n, _ := s.do("EVAL", "return redis.call('HLEN', KEYS[1]) + redis.call('HLEN', KEYS[2])", 2, "weir:ids1:{weir:topic:"+topic+"}", "weir:ids2:{weir:topic:"+topic+"}").(int64); n > 2*(keep+130) {
		t.Errorf("the index has %d IDs", n)
	}
}

// A topic expires in Redis when nobody publishes to it nor follows it, and not
// before.
func TestExpire(t *testing.T) {
	t.Parallel()
	const life = 2 * time.Second
	s := startRedis(t)
	limits := func(topic string) redislog.Limits { return redislog.Limits{Expire: life, MaxLen: 10} }
	one := openBroker(t, redislog.Options{URL: s.url(), Limits: limits})
	publishTo(t, one, "left", "1")
	logs, stop := followMany(t, one, "followed", 1)
	id := publishTo(t, one, "followed0", "1")
	began := time.Now()
	await(t, "the topic that was left expires", func() bool { return s.do("EXISTS", "weir:topic:left") == int64(0) })
	await(t, "twice its life is over", func() bool { return time.Since(began) > 2*life })
	for _, key := range []string{"weir:topic:followed0", "weir:side:{weir:topic:followed0}"} {
		if s.do("EXISTS", key) != int64(1) {
			t.Errorf("%s expired, though it is followed", key)
		}
	}
	if logs[0].Last() != id || logs[0].Stats().Entries != 1 {
		t.Errorf("the log went on to %s with %d entries", logs[0].Last(), logs[0].Stats().Entries)
	}
	stop()
	await(t, "the other expires, too", func() bool {
		keys, _ := s.do("KEYS", "weir:*followed0*").([]any)
		return len(keys) == 0
	})
}

// What is published arrives without a look, also when the subscription was cut,
// and one that tells of nothing is noticed although its connection is well: it
// may lead to a server that is no longer the primary.
func TestSubscription(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	link := newProxy(t, s.addr())
	n := newNode(t, redislog.Options{URL: link.url(), Timeout: short, Check: time.Hour})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 3)
	c.awaitNumber(2)
	s.do("CLIENT", "KILL", "TYPE", "PUBSUB")
	n.mustPublish(3, 6)
	c.awaitNumber(5)
	n.awaitState(stream.SourceUp)
	n.mustPublish(6, 9)
	c.awaitNumber(8)
	before := n.hub.Health()[topic].Broker.Total
	link.set(linkDeaf)
	n.mustPublish(9, 12)
	await(t, "the silence is noticed", func() bool { return n.hub.Health()[topic].Broker.Total > before })
	link.set(linkUp)
	c.awaitNumber(11)
	c.wants(upTo(0, 12), count(c.messages(), "stream-error"))
}
