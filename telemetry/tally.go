package telemetry

import (
	"sync"
	"time"

	"weir/stream"
)

// sums are counts, added up.
type sums struct {
	bytes, replayed int64
	latency         latencies
}

// A tally has the counts of a share of a topic's deliveries: of the connections
// in one lane. They are written to one after the other, so the tally stays in
// the cache of the processor that does it; a counter for each connection would
// not be there, and one for all would wander between the processors.
type tally struct {
	mu sync.Mutex
	sums
	run run
	_   [64]byte // the next tally is another processor's
}

// tallies is how many a topic has.
const tallies = 16

// A run is deliveries of the same events at nearly the same time: so near that
// each event's latency is in the same bucket for all of them. A fan-out is a few
// runs, and a delivery costs no step for each event.
type run struct {
	batch  **stream.Entry
	since  stream.ID     // events up to it do not count: how long they waited in the log is not the stream's latency
	first  time.Time     // when the first event that counts entered
	events int           // that count
	behind time.Duration // how much later than the first they entered, added up

	// The ages of the first event, from oldest's to longest's, at which the
	// events are in these buckets.
	from, until time.Duration
	buckets     [len(latencyBounds) + 1]uint32

	deliveries uint64        // that have not been added to the sums
	age        time.Duration // of the first event at each of those, added up
}

// deliver counts a delivery. It returns the latency of the event that waited
// longest.
func (t *tally) deliver(f *stream.Flush) (longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += int64(f.Bytes)
	t.replayed += int64(f.Replayed)
	if f.Replayed == f.Events {
		return 0
	}
	r := &t.run
	same := r.batch == &f.Entries[0] && (f.Replayed == 0 && r.events == f.Events || f.Replayed > 0 && r.since == f.Since)
	if age := f.Ended.Sub(r.first); !same || age < r.from || age > r.until {
		t.settle()
		r.begin(f)
	}
	age := f.Ended.Sub(r.first)
	r.deliveries++
	r.age += age
	return age
}

// begin makes the run that a delivery is the first of.
func (r *run) begin(f *stream.Flush) {
	*r = run{batch: &f.Entries[0], since: f.Since}
	replayed := f.Replayed
	for _, e := range f.Entries {
		switch {
		case e.Event == nil:
			continue
		case replayed > 0:
			replayed--
			continue
		case r.events == 0:
			r.first = e.At
			r.from = max(f.Ended.Sub(e.At), 0)
			r.until = 1 << 62
		}
		latency := max(f.Ended.Sub(e.At), 0)
		bucket := bucketOf(latency)
		r.events++
		r.behind += e.At.Sub(r.first)
		r.buckets[bucket]++
		if bucket < len(latencyBounds) {
			r.until = min(r.until, r.from+latencyBounds[bucket]-latency)
		}
	}
}

// settle adds the run to the sums. The caller holds mu.
func (t *tally) settle() {
	r := &t.run
	for i, n := range r.buckets {
		t.latency.buckets[i] += uint64(n) * r.deliveries
	}
	t.latency.sum += time.Duration(r.events)*r.age - time.Duration(r.deliveries)*r.behind
	r.deliveries, r.age = 0, 0
}

// total returns what all tallies have counted.
func (tm *topicMetrics) total() (total sums) {
	for i := range tm.tallies {
		t := &tm.tallies[i]
		t.mu.Lock()
		t.settle()
		total.bytes += t.bytes
		total.replayed += t.replayed
		total.latency.sum += t.latency.sum
		for i, n := range t.latency.buckets {
			total.latency.buckets[i] += n
		}
		t.mu.Unlock()
	}
	return total
}
