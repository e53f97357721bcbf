package redislog_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/redislog"
)

func text(size int) *stream.Event {
	return &stream.Event{ContentType: stream.Text, Data: bytes.Repeat([]byte("x"), size)}
}

func publishAll(t testing.TB, b *redislog.Broker, topic string, events ...*stream.Event) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, &stream.Publication{Events: events}); err != nil {
		t.Fatal(err)
	}
}

// memory is what Redis needs for the keys of a topic.
func memory(s *server, topic string) (bytes int64) {
	key := "weir:topic:" + topic
	for _, name := range []string{key, "weir:side:{" + key + "}", "weir:marks:{" + key + "}", "weir:ids1:{" + key + "}", "weir:ids2:{" + key + "}"} {
		if n, ok := s.do("EVAL", "return redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) or 0", 1, name).(int64); ok {
			bytes += n
		}
	}
	return bytes
}

// The stream in Redis is bounded in bytes, however the events come.
func TestBytesInRedis(t *testing.T) {
	const limit = 1 << 20
	t.Parallel()
	s := startRedis(t)
	opts := redislog.Options{URL: s.url(), MaxLen: 1000, MaxBytes: limit}
	b := openBroker(t, opts)
	check := func(topic string, least int64) {
		t.Helper()
		if n := memory(s, topic); n > limit*5/4 { // allocators round up
			t.Errorf("%s: Redis needs %d bytes, with a limit of %d", topic, n, limit)
		}
		if n, _ := s.do("XLEN", "weir:topic:"+topic).(int64); n < least {
			t.Errorf("%s: %d events are kept, want at least %d", topic, n, least)
		}
	}
	for range 400 {
		publishAll(t, b, "large", text(10<<10))
	}
	check("large", limit*9/10/(10<<10))
	for range 40 {
		publishAll(t, b, "batches", text(10<<10), text(10), text(20<<10), text(1))
	}
	check("batches", 100)
	var many []*stream.Event
	for range 300 {
		many = append(many, text(8<<10))
	}
	publishAll(t, b, "at once", many...)
	check("at once", limit*9/10/(8<<10))
	for range 3 {
		publishAll(t, b, "huge", text(2*limit))
	}
	if n := s.do("XLEN", "weir:topic:huge"); n != int64(1) {
		t.Errorf("%v events that are larger than the limit are kept, want the newest", n)
	}
	publishAll(t, b, "huge", text(1))
	check("huge", 1)
	for i := range 3000 {
		e := text(20)
		e.Source, e.ForeignID = "/s", strings.Repeat("i", 30)+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))
		publishAll(t, b, "index", e)
	}
	check("index", 1000)
	if n, _ := s.do("XLEN", "weir:topic:index").(int64); n > 1100 {
		t.Errorf("%d events are kept, with a limit of 1000", n)
	}
	// What an older program has left is counted as well.
	for range 400 {
		s.do("XADD", "weir:topic:old", "*", "v", "1", "a", "{}", "d", strings.Repeat("9", 10<<10))
	}
	for range 200 {
		publishAll(t, b, "old", text(10<<10))
	}
	check("old", limit*9/10/(10<<10))
	// And a node that starts now has what is kept, no more.
	log := eventlog.New(eventlog.Options{})
	up := make(chan error, 1)
	defer b.Follow("large", log, func(err error) { up <- err })()
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	if kept := s.do("XLEN", "weir:topic:large"); int64(log.Stats().Entries) != kept {
		t.Errorf("a new node has %d events, and Redis %v", log.Stats().Entries, kept)
	}
}

// What is read at once is bounded in bytes.
func TestPages(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	b := openBroker(t, redislog.Options{URL: s.url()})
	var last stream.ID
	total := 0
	for i := range 900 {
		size := 100
		if i >= 500 && i%50 == 0 { // where small ones made the pages long
			size = 300 << 10
		} else if i%7 == 0 {
			size = 20 << 10
		}
		e := text(size)
		publishAll(t, b, topic, e)
		last = e.ID
		total += size
	}
	pages, err := redislog.Pages(t.Context(), b, topic)
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for i, p := range pages {
		entries += p.Entries
		if p.Bytes > redislog.PageBytes && p.Entries > 1 {
			t.Errorf("page %d has %d bytes in %d entries", i, p.Bytes, p.Entries)
		}
	}
	if entries != 900 || pages[len(pages)-1].Last != last {
		t.Errorf("%d entries up to %s were read, want 900 up to %s", entries, pages[len(pages)-1].Last, last)
	}
	if least := total / redislog.PageBytes; len(pages) > 4*least {
		t.Errorf("%d bytes took %d pages", total, len(pages))
	}
}

// What no Weir has written is left out, is told once, and is no reason to begin
// again, however often the stream is looked at.
func TestForeignEntryIsToldOnce(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url(), Check: 20 * time.Millisecond})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 2)
	s.do("XADD", "weir:topic:"+topic, "*", "hello", "world")
	c.awaitCount("stream-error", 1)
	n.mustPublish(2, 4)
	s.do("XADD", "weir:topic:"+topic, "*", "hello", "again") // nothing follows it
	c.awaitCount("stream-error", 2)
	before := looks(s)
	await(t, "30 more looks", func() bool { return looks(s) > before+30 })
	c.wants(upTo(0, 4), 2)
	// Also when Redis was away meanwhile, and a node has to find its place.
	s.do("CLIENT", "KILL", "TYPE", "PUBSUB")
	n.mustPublish(4, 6)
	c.awaitNumber(5)
	before = looks(s)
	await(t, "30 more looks", func() bool { return looks(s) > before+30 })
	c.wants(upTo(0, 6), 2)
}

// looks is how often the followers have looked at their streams.
func looks(s *server) int64 { return calls(s, "evalsha_ro") }

// calls is how often a command was called.
func calls(s *server, command string) int64 { return stat(s, "cmdstat_"+command+":calls=") }

// failed is how many scripts Redis has ended with an error.
func failed(s *server) int64 { return stat(s, "errorstat_LATE:count=") }

func stat(s *server, name string) (n int64) {
	for _, section := range []string{"commandstats", "errorstats"} {
		stats, _ := s.do("INFO", section).(string)
		for line := range strings.Lines(stats) {
			if rest, found := strings.CutPrefix(line, name); found {
				_, _ = fmt.Sscanf(rest, "%d", &n)
			}
		}
	}
	return n
}
