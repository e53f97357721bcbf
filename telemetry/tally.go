package telemetry

import (
	"math"
	"sync"
	"time"
)

// A tally is what one connection has counted since it handed it in. It is the
// connection's own, so its lock is hardly ever contended and its memory stays
// with the processor that serves the connection. Taking the lock costs less
// than an atomic operation for each number; counters that connections share
// wander between the processors, and cost ten times as much.
type tally struct {
	mu         sync.Mutex
	bytes      int64
	replayed   int64
	sum        time.Duration // of the latencies
	slowest    time.Duration // within the segment
	heartbeats uint32
	full       bool // it must be handed in before a bucket overflows

	// Of the goroutine that has the stream; here to be in the same cache line.
	live   bool // the replay is over
	gapped bool // the next event comes behind a gap

	buckets [len(latencyBounds) + 1]uint32
}

// maxBatch is more than the events of one batch.
const maxBatch = 1 << 20

// observe counts one event and its latency. The caller holds mu.
func (t *tally) observe(d time.Duration) {
	d = max(d, 0)
	n := &t.buckets[bucketOf(d)]
	*n++
	if *n >= math.MaxUint32-maxBatch {
		t.full = true
	}
	t.sum += d
	t.slowest = max(t.slowest, d)
}

// takeSlowest ends a segment.
func (t *tally) takeSlowest() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.slowest
	t.slowest = 0
	return d
}

// sums are the tallies of a topic, added up.
type sums struct {
	bytes, replayed, heartbeats int64
	latency                     latencies
}

// merge hands in what the connection has counted.
func (c *connection) merge() {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	c.topic.mu.Lock()
	defer c.topic.mu.Unlock()
	to := &c.topic.sums
	to.bytes += c.tally.bytes
	to.replayed += c.tally.replayed
	to.heartbeats += int64(c.tally.heartbeats)
	to.latency.sum += c.tally.sum
	for i, n := range c.tally.buckets {
		to.latency.buckets[i] += uint64(n)
	}
	c.tally.bytes, c.tally.replayed, c.tally.heartbeats, c.tally.sum, c.tally.full = 0, 0, 0, 0, false
	clear(c.tally.buckets[:])
}

// merge has all open connections hand in what they have counted.
func (t *Telemetry) merge() {
	t.mu.Lock()
	conns := make([]*connection, 0, len(t.conns))
	for _, c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	for _, c := range conns {
		c.merge()
	}
}
