package redislog_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/redislog"
)

// commands are those that the package's doc says a user needs.
const commands = "+eval +evalsha +evalsha_ro +script|load +ssubscribe +sunsubscribe +spublish +xadd +xtrim +xrange +xlen " +
	"+xinfo|stream +hset +hget +hmget +hgetall +hdel +hlen +lrange +lpop +rpush +del +pexpire +time +ping +info +memory|usage"

// A broker says within seconds that Redis takes no events, for whatever reason,
// and that it takes them again.
func TestReady(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	user := func(commands string) []any {
		return append([]any{"ACL", "SETUSER", "weir", "on", ">s3cret", "resetkeys", "resetchannels", "nocommands", "~weir:*", "&weir:*"}, words(commands)...)
	}
	s.do(user(commands)...)
	b := openBroker(t, redislog.Options{URL: "redis://weir:s3cret@" + s.addr()})
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []struct {
		name       string
		set, unset []any
		says       string
	}{
		{"a replica", []any{"REPLICAOF", "127.0.0.1", strconv.Itoa(freePort(t))}, []any{"REPLICAOF", "NO", "ONE"}, "READONLY"},
		{"too few replicas", []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}, "NOREPLICAS"},
		{"out of memory", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}, "OOM"},
		{"no right to add", user(commands + " -xadd"), user(commands), "can't run this command"},
		{"no right to keys", append(user(commands), "resetkeys", "~other:*"), user(commands), "keys"},
	} {
		began := time.Now()
		s.do(fault.set...)
		var err error
		await(t, fault.name+" is noticed", func() bool { err = b.Ready(t.Context()); return err != nil })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: that took %s", fault.name, took)
		}
		if !errors.Is(err, stream.ErrUnavailable) || !strings.Contains(err.Error(), fault.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want it to say %s", fault.name, err, fault.says)
		}
		began = time.Now()
		s.do(fault.unset...)
		await(t, fault.name+" is over", func() bool { return b.Ready(t.Context()) == nil })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: to be ready again took %s", fault.name, took)
		}
		publishTo(t, b, topic, "1")
	}
	s.kill()
	await(t, "the kill is noticed", func() bool { return b.Ready(t.Context()) != nil })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Ready after Close: %v", err)
	}
}

func words(text string) (all []any) {
	for _, w := range strings.Fields(text) {
		all = append(all, w)
	}
	return all
}

// A user who has what the package's doc asks for can do everything.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	s.do(append([]any{"ACL", "SETUSER", "weir", "on", ">s3cret", "resetchannels", "~weir:*", "&weir:*"}, words(commands)...)...)
	s.do("XADD", "weir:topic:"+topic, "*", "v", "1", "a", "{}", "d", "0") // as an older program did
	n := newNode(t, redislog.Options{URL: "redis://weir:s3cret@" + s.addr(), Limits: func(string) redislog.Limits { return redislog.Limits{Expire: time.Hour} }})
	c := n.connect(stream.ID{})
	n.mustPublish(1, 3)
	e := func() *stream.Event {
		return &stream.Event{Source: "/s", ForeignID: "7", ContentType: stream.JSON, Data: []byte("3")}
	}
	p := &stream.Publication{Events: []*stream.Event{e(), e()}, Checkpoint: []byte("here")}
	if err := n.broker.Publish(t.Context(), topic, p); err != nil || p.Duplicate == nil {
		t.Errorf("Publish: %v, %v", err, p.Duplicate)
	}
	if got, err := n.broker.Checkpoint(t.Context(), topic); err != nil || string(got) != "here" {
		t.Errorf("Checkpoint: %q, %v", got, err)
	}
	if err := n.broker.Report(t.Context(), redislog.NodeReport{Node: "a"}); err != nil {
		t.Error(err)
	}
	if got, err := n.broker.Cluster(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("Cluster: %v, %v", got, err)
	}
	c.awaitNumber(3)
	if err := n.broker.Publish(t.Context(), topic, &stream.Publication{End: "over"}); err != nil {
		t.Error(err)
	}
	c.awaitCount("close", 1)
}
