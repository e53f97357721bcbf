package telemetry

import (
	"sync"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// A tally counts the deliveries to the connections of a topic that are in one
// shard. These connections are written to one after the other, so the tally stays
// in the cache of the processor that writes. A counter for each connection would
// not be in the cache, and one counter for all would wander between processors.
type tally struct {
	layout *layout

	mu              sync.Mutex
	bytes, replayed int64
	sum             time.Duration // of the latencies
	buckets         []uint64      // deliveries by latency
	run             run
	_               [64]byte // the next tally is another processor's
}

// tallies is how many tallies a topic has.
const tallies = 16

func newTally(l *layout) *tally {
	t := &tally{layout: l, buckets: make([]uint64, len(l.bounds)+1)}
	t.run.buckets = make([]uint32, len(l.bounds)+1)
	return t
}

// A run is deliveries of the same events at nearly the same time: so near that
// each event's latency is in the same bucket for all of them. A fan-out is a few
// runs, and a delivery costs no step for each event.
type run struct {
	batch  **eventlog.Entry // the first of the entries, which all deliveries share
	since  stream.ID        // events up to it do not count: how long they waited in the log is not the stream's latency
	first  time.Time        // when the first event that counts entered
	events int              // how many count
	behind time.Duration    // how much later than the first each of them entered, added up

	// While the first event's age lies between from and until, every event of the
	// run stays in the bucket counted here. Only buckets lowest to highest are used.
	from, until     time.Duration
	buckets         []uint32
	lowest, highest int

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
		t.begin(f)
	}
	age := f.Ended.Sub(r.first)
	r.deliveries++
	r.age += age
	return age
}

// begin makes the run that a delivery is the first of. The caller holds mu.
func (t *tally) begin(f *stream.Flush) {
	r := &t.run
	clear(r.buckets[r.lowest : r.highest+1])
	*r = run{batch: &f.Entries[0], since: f.Since, buckets: r.buckets, lowest: len(r.buckets) - 1}
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
		bucket := t.layout.ofTime(latency)
		r.events++
		r.behind += e.At.Sub(r.first)
		r.buckets[bucket]++
		r.lowest, r.highest = min(r.lowest, bucket), max(r.highest, bucket)
		if bucket < len(t.layout.times) {
			r.until = min(r.until, r.from+t.layout.times[bucket]-latency)
		}
	}
}

// settle adds the run to the sums. The caller holds mu.
func (t *tally) settle() {
	r := &t.run
	if r.deliveries == 0 {
		return
	}
	for i := r.lowest; i <= r.highest; i++ {
		t.buckets[i] += uint64(r.buckets[i]) * r.deliveries
	}
	t.sum += time.Duration(r.events)*r.age - time.Duration(r.deliveries)*r.behind
	r.deliveries, r.age = 0, 0
}

// sums are counts of deliveries, added up.
type sums struct {
	bytes, replayed int64
	latency         histogram
}
