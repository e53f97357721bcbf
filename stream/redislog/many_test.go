package redislog_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/redislog"
)

// followMany follows topics with logs that are as small as can be, and waits
// until all are in touch.
func followMany(t testing.TB, b *redislog.Broker, name string, n int) (logs []*eventlog.Log, stop func()) {
	t.Helper()
	up := make(chan error, n)
	stops := make([]func(), n)
	for i := range n {
		log := eventlog.New(eventlog.Options{})
		logs = append(logs, log)
		stops[i] = b.Follow(fmt.Sprint(name, i), log, func(err error) {
			select {
			case up <- err:
			default: // nobody asks any more
			}
		})
	}
	timeout := time.After(patience)
	for range n {
		select {
		case err := <-up:
			if err != nil {
				t.Fatal(err)
			}
		case <-timeout:
			t.Fatal("not all topics are in touch")
		}
	}
	return logs, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// An empty topic costs a node no goroutine and little memory, and Redis no key.
func TestEmptyTopicsAreCheap(t *testing.T) {
	const topics = 10_000
	s := startRedis(t)
	b := openBroker(t, redislog.Options{URL: s.url()})
	warm, _ := followMany(t, b, "warm", 10)
	logs := make([]*eventlog.Log, topics)
	for i := range logs {
		logs[i] = eventlog.New(eventlog.Options{})
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	redis := usedMemory(t, s)
	keys := s.do("DBSIZE")
	up := make(chan error, topics)
	report := func(err error) { up <- err }
	began := time.Now()
	for i, log := range logs {
		b.Follow(fmt.Sprint("empty", i), log, report)
	}
	for range topics {
		if err := <-up; err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / topics
	inRedis := (usedMemory(t, s) - redis) / topics
	t.Logf("a topic costs %d bytes, and %d in Redis; %d topics were in touch after %s", each, inRedis, topics, took)
	if each > 1000 || inRedis > 500 {
		t.Errorf("a topic costs %d bytes, and %d in Redis", each, inRedis)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 5 {
		t.Errorf("there are %d goroutines more", more)
	}
	if now := s.do("DBSIZE"); now != keys {
		t.Errorf("Redis has %v keys, and had %v", now, keys)
	}
	runtime.KeepAlive(warm)
	runtime.KeepAlive(logs)
}

func usedMemory(t testing.TB, s *server) int64 {
	t.Helper()
	info, _ := s.do("INFO", "memory").(string)
	for line := range strings.Lines(info) {
		var n int64
		if _, err := fmt.Sscanf(line, "used_memory:%d", &n); err == nil {
			return n
		}
	}
	t.Fatal("Redis does not say how much memory it uses")
	return 0
}

// The first event of a new topic is there at once on another node, while many
// topics are followed and looked at.
func TestFirstEventWhileMany(t *testing.T) {
	const topics, news = 10_000, 400
	s := startRedis(t)
	one, two := openBroker(t, redislog.Options{URL: s.url()}), openBroker(t, redislog.Options{URL: s.url()})
	followMany(t, one, "many", topics)
	followMany(t, two, "many", topics)
	var took []time.Duration
	for i := range news {
		topic := fmt.Sprint("new", i)
		began := time.Now()
		log := eventlog.New(eventlog.Options{})
		stopOne := one.Follow(topic, eventlog.New(eventlog.Options{}), func(error) {})
		stopTwo := two.Follow(topic, log, func(error) {})
		reader := log.All().From(stream.ID{})
		publishTo(t, one, topic, "1")
		if _, err := reader.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		stopOne()
		stopTwo()
	}
	slices.Sort(took)
	p50, p90 := took[len(took)/2], took[len(took)*9/10]
	t.Logf("the first event of a new topic was there after %s (p50), %s (p90), %s at worst", p50, p90, took[len(took)-1])
	// It takes a millisecond. What waited for the next look at all topics, or behind it,
	// would take as long as these; a busy machine holds up a few.
	if most := redislog.DefaultCheck / 10; p90 > most {
		t.Errorf("p90 is %s, and topics are looked at every %s", p90, redislog.DefaultCheck)
	}
}

func publishTo(t testing.TB, b *redislog.Broker, topic, data string) stream.ID {
	t.Helper()
	e := &stream.Event{ContentType: stream.JSON, Data: []byte(data)}
	if err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
		t.Fatal(err)
	}
	return e.ID
}
