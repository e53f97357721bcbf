package redislog_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/redislog"
	"weir/stream/streamtest"
)

// startCluster starts a Redis Cluster of three primaries.
func startCluster(t *testing.T) (servers []*server, url string) {
	t.Helper()
	var addrs []string
	for range 3 {
		s := startRedis(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "1000"}, persistent...)...)
		servers, addrs = append(servers, s), append(addrs, s.addr())
	}
	for i, s := range servers {
		s.do("CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		if i > 0 {
			s.do("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
		}
	}
	for _, s := range servers {
		await(t, "the cluster is whole", func() bool {
			info, _ := s.do("CLUSTER", "INFO").(string)
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return servers, "redis+cluster://" + strings.Join(addrs, ",")
}

// holder returns the server that has a topic.
func holder(t *testing.T, servers []*server, topic string) (at int) {
	t.Helper()
	slot, _ := servers[0].do("CLUSTER", "KEYSLOT", "weir:topic:"+topic).(int64)
	for i, s := range servers {
		if slot < int64((i+1)*16384/3) {
			return i
		}
		_ = s
	}
	t.Fatal("nobody has the topic")
	return 0
}

func TestClusterConformance(t *testing.T) {
	_, url := startCluster(t)
	open := func(t *testing.T) stream.Broker {
		return openBroker(t, redislog.Options{URL: url, MaxLen: 10000})
	}
	streamtest.TestBroker(t, open)
}

// Topics of all shards go round, nodes see each other, the first event of a new
// topic is there at once, and a shard that is away takes only its own topics
// with it.
func TestClusterShards(t *testing.T) {
	t.Parallel()
	servers, url := startCluster(t)
	opts := redislog.Options{URL: url, Timeout: short}
	one, two := openBroker(t, opts), openBroker(t, opts)
	if err := one.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	const topics = 30
	name := func(i int) string { return "shards" + strconv.Itoa(i) }
	logs, _ := followMany(t, two, "shards", topics)
	var readers []*eventlog.Cursor
	var at [3]int
	for i, log := range logs {
		readers = append(readers, log.All().From(stream.ID{}))
		publishTo(t, one, name(i), "1")
		at[holder(t, servers, name(i))]++
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, r := range readers {
		if _, err := r.Next(ctx); err != nil {
			t.Fatalf("topic %d: %v", i, err)
		}
	}
	if at[0] == 0 || at[1] == 0 || at[2] == 0 {
		t.Fatalf("the topics are spread as %v", at)
	}
	for _, b := range []*redislog.Broker{one, two} {
		if err := b.Report(t.Context(), redislog.NodeReport{Node: "same"}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := one.Cluster(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("the view of the nodes: %v, %v", got, err)
	}
	// One server is killed: the topics of the others go on, once the cluster
	// lets them.
	for _, s := range servers {
		s.do("CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	servers[1].kill()
	await(t, "the node is not ready", func() bool { return one.Ready(t.Context()) != nil })
	for i := range topics {
		if holder(t, servers, name(i)) == 1 {
			continue
		}
		var id stream.ID
		await(t, "a topic of another server goes on", func() bool {
			e := &stream.Event{ContentType: stream.JSON, Data: []byte("2")}
			err := one.Publish(t.Context(), name(i), &stream.Publication{Events: []*stream.Event{e}})
			id = e.ID
			return err == nil
		})
		await(t, "its event arrives", func() bool { return logs[i].Last() == id })
	}
	servers[1].start()
	await(t, "the node is ready again", func() bool { return one.Ready(t.Context()) == nil })
	for i := range topics {
		if holder(t, servers, name(i)) == 1 {
			id := publishTo(t, one, name(i), "3")
			await(t, "an event arrives", func() bool { return logs[i].Last() == id })
		}
	}
}

// A slot with a topic moves from one server to another while it is used.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	servers, url := startCluster(t)
	n := newNode(t, redislog.Options{URL: url, Timeout: short})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 10)
	c.awaitNumber(9)
	from := servers[holder(t, servers, topic)]
	to := servers[(holder(t, servers, topic)+1)%3]
	slot := from.do("CLUSTER", "KEYSLOT", "weir:topic:"+topic)
	ids := map[*server]any{from: from.do("CLUSTER", "MYID"), to: to.do("CLUSTER", "MYID")}
	to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from])
	from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
	keys, _ := from.do("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
	from.do(append([]any{"MIGRATE", "127.0.0.1", fmt.Sprint(to.port), "", 0, 5000, "KEYS"}, keys...)...)
	for _, s := range []*server{to, from, servers[0], servers[1], servers[2]} {
		s.do("CLUSTER", "SETSLOT", slot, "NODE", ids[to])
	}
	began := time.Now()
	await(t, "publishing works", func() bool { _, err := n.publish(10); return err == nil })
	n.mustPublish(11, 20)
	c.awaitNumber(19)
	t.Logf("after %s", time.Since(began))
	c.wants(upTo(0, 20), min(1, count(c.messages(), "stream-error")))
}
