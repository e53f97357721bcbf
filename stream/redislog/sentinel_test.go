package redislog_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/redislog"
)

const master = "mymaster"

// startSentinel starts a Sentinel that watches over a primary.
func startSentinel(t *testing.T, primary *server) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("these tests need a real redis-server, version 7 or later, on the PATH: apt-get install redis-server")
	}
	s := &server{t: t, dir: t.TempDir(), port: freePort(t), out: &logBuffer{ready: make(chan struct{})}, exited: make(chan struct{})}
	conf := filepath.Join(s.dir, "sentinel.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `port %d
bind 127.0.0.1
dir %s
sentinel monitor %s 127.0.0.1 %d 2
sentinel down-after-milliseconds %s 1000
sentinel failover-timeout %s 4000
`, s.port, s.dir, master, primary.port, master, master), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(path, conf, "--sentinel")
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.SysProcAttr = s.out, s.out, orphanless
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("sentinel wrote:\n%s", s.out)
		}
	})
	return s
}

// startWatched starts a primary, a replica that has all, and three Sentinels
// that know of both and of each other. It returns the URL by which a broker
// finds the primary.
func startWatched(t *testing.T) (primary, replica *server, url string) {
	t.Helper()
	primary = startRedis(t, persistent...)
	replica = startRedis(t, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(primary.port)}, persistent...)...)
	var sentinels []*server
	var addrs []string
	for range 3 {
		s := startSentinel(t, primary)
		sentinels, addrs = append(sentinels, s), append(addrs, s.addr())
	}
	for _, s := range sentinels {
		await(t, "the sentinel knows all", func() bool {
			if s.try("PING") == nil {
				return false
			}
			replicas, _ := s.try("SENTINEL", "REPLICAS", master).([]any)
			others, _ := s.try("SENTINEL", "SENTINELS", master).([]any)
			return len(replicas) == 1 && len(others) == 2
		})
	}
	await(t, "the replica is in touch", func() bool {
		info, _ := replica.do("INFO", "replication").(string)
		return strings.Contains(info, "master_link_status:up")
	})
	return primary, replica, "redis+sentinel://" + strings.Join(addrs, ",") + "/" + master + "?db=1"
}

// A load publishes numbers, one after the other, until it is told to stop.
type load struct {
	stop func()

	mu      sync.Mutex
	acked   map[int]stream.ID
	refused int
	longest time.Duration // without an acknowledgement
}

func startLoad(n *node) *load {
	l := &load{acked: make(map[int]stream.ID)}
	stop, done := make(chan struct{}), make(chan struct{})
	l.stop = sync.OnceFunc(func() { close(stop); <-done })
	n.t.Cleanup(l.stop)
	go func() {
		defer close(done)
		last := time.Now()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			id, err := n.publish(i)
			l.mu.Lock()
			if err == nil {
				l.acked[i] = id
				l.longest = max(l.longest, time.Since(last))
				last = time.Now()
			} else if l.refused++; !errors.Is(err, stream.ErrUnavailable) {
				n.t.Errorf("publish: %v", err)
			}
			l.mu.Unlock()
		}
	}()
	return l
}

// newest is the ID of what was acknowledged last.
func (l *load) newest() (id stream.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[slices.Max(numbers(l.acked))]
}

// count is how many have been acknowledged.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// account checks what a client was sent against what was acknowledged behind an
// ID: each once, in order, or within a gap that was told. It returns how many
// the client does not have.
func (l *load) account(c *client, after stream.ID) (lost int) {
	c.t.Helper()
	got := make(map[int]stream.ID)
	last := -1
	type span struct{ from, to stream.ID }
	var gaps []span
	for _, m := range c.messages() {
		switch m.event {
		case "message":
			if m.number <= last {
				c.t.Errorf("event %d came behind event %d", m.number, last)
			}
			last = m.number
			got[m.number] = m.id
		case "gap":
			from, err1 := stream.ParseID(m.gap.From)
			to, err2 := stream.ParseID(m.gap.To)
			if err := errors.Join(err1, err2); err != nil {
				c.t.Fatal(err)
			}
			gaps = append(gaps, span{from, to})
		}
	}
	for n, id := range l.acked {
		if !id.After(after) {
			continue
		}
		if at, in := got[n]; in {
			if at != id {
				c.t.Errorf("event %d came as %s and was acknowledged as %s", n, at, id)
			}
			continue
		}
		if !slices.ContainsFunc(gaps, func(g span) bool { return id.After(g.from) && !id.After(g.to) }) {
			c.t.Errorf("event %d (%s) is missing, and in no gap of %v", n, id, gaps)
		}
		lost++
	}
	return lost
}

// The primary is killed under load. Streams stay open, publishing is back
// within seconds, and nothing is lost or repeated in silence.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	primary, replica, url := startWatched(t)
	opts := redislog.Options{URL: url, Timeout: short}
	one, two := newNode(t, opts), newNode(t, opts)
	near, far := one.connect(stream.ID{}), two.connect(stream.ID{})
	for round := range 2 {
		l := startLoad(one)
		var before stream.ID
		await(t, "events", func() bool { return l.count() > 300 })
		if info, _ := primary.do("INFO", "keyspace").(string); !strings.Contains(info, "db1:") || strings.Contains(info, "db0:") {
			t.Errorf("the URL names database 1, and these are in use: %s", info)
		}
		if round == 1 {
			// What comes from now on is not replicated.
			before = l.newest()
			replica.do("REPLICAOF", "NO", "ONE")
			n := l.count()
			await(t, "events that will be lost", func() bool { return l.count() > n+30 })
		}
		primary.kill()
		n := l.count()
		await(t, "publishing is back", func() bool { return l.count() > n+100 })
		l.stop()
		t.Logf("round %d: %d were acknowledged and %d refused; %s without an acknowledgement", round, len(l.acked), l.refused, l.longest)
		if l.longest > 10*time.Second {
			t.Errorf("publishing was back after %s", l.longest)
		}
		last := slices.Max(numbers(l.acked))
		for _, c := range []*client{near, far} {
			c.awaitNumber(last)
			if lost := l.account(c, stream.ID{}); lost > 0 {
				t.Logf("a client does not have %d events", lost)
			}
			// One for the way back, and one before it where the client has lost
			// events that it never had.
			if gaps := count(c.messages(), "gap"); gaps < round || gaps > 2*round {
				t.Errorf("round %d: told of %d gaps", round, gaps)
			}
			c.mu.Lock()
			if c.err != nil {
				t.Errorf("a stream ended: %v", c.err)
			}
			c.got = nil // the next round counts from 0
			c.mu.Unlock()
		}
		if round == 1 { // what was lost is told to those who come back, too
			for _, n := range []*node{one, two} {
				c := n.connect(before)
				c.awaitNumber(last)
				if lost := l.account(c, before); lost < 30 {
					t.Errorf("%d events were lost", lost)
				}
			}
			break
		}
		// The old primary comes back, as a replica of the new one.
		primary.start()
		await(t, "the old primary is a replica", func() bool {
			info, _ := primary.do("INFO", "replication").(string)
			return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
		})
		primary, replica = replica, primary
	}
	// A connection of its pool may still go to the server that was killed.
	await(t, "the broker is ready again", func() bool { return one.broker.Ready(t.Context()) == nil })
}

func numbers[V any](m map[int]V) (keys []int) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
