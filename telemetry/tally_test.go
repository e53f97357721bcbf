package telemetry_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry"
)

// Deliveries of the same events at nearly the same time are counted in one step.
// Here each event of each is counted by itself, and the sums are to be the same.
func TestTally(t *testing.T) {
	began := time.Now()
	type batchOf struct {
		Entries []*eventlog.Entry
		Events  int
	}
	batch := func(n int, announcement bool) *batchOf {
		b := new(batchOf)
		at := began
		for i := range n {
			at = at.Add(time.Duration(rand.IntN(300)) * time.Microsecond)
			e := &eventlog.Entry{ID: eventlog.IDAt(began.Add(time.Duration(i) * time.Millisecond)), At: at, Event: new(stream.Event)}
			if announcement && i == n/2 {
				e.Event = nil
			} else {
				b.Events++
			}
			b.Entries = append(b.Entries, e)
		}
		return b
	}
	batches := []*batchOf{batch(1, false), batch(20, false), batch(20, true), batch(300, false)}
	tally := telemetry.NewTally()
	var events, replayed, bytes int64
	var sum, longest time.Duration
	buckets := make([]uint64, len(telemetry.LatencyBounds)+1)
	b, ended := batches[0], began.Add(100*time.Millisecond)
	for range 5000 {
		switch rand.IntN(50) {
		case 0:
			b = batches[rand.IntN(len(batches))]
		case 1:
			ended = began.Add(100*time.Millisecond + time.Duration(rand.Int64N(int64(400*time.Millisecond))))
		}
		ended = ended.Add(time.Duration(rand.IntN(20)) * time.Microsecond)
		f := &stream.Flush{Entries: b.Entries, Events: b.Events, Bytes: 100, Ended: ended}
		if rand.IntN(10) == 0 { // a client that has come back
			f.Replayed = rand.IntN(b.Events + 1)
			left := f.Replayed
			for _, e := range b.Entries {
				if e.Event != nil && left > 0 {
					left--
					f.Since = e.ID
				}
			}
		}
		left := f.Replayed
		longest = 0
		for _, e := range b.Entries {
			if e.Event == nil {
				continue
			}
			if left > 0 {
				left--
				continue
			}
			latency := ended.Sub(e.At)
			i, _ := slices.BinarySearch(telemetry.LatencyBounds, latency)
			buckets[i]++
			sum += latency
			events++
			longest = max(longest, latency)
		}
		replayed += int64(f.Replayed)
		bytes += 100
		if got := telemetry.Deliver(tally, f); got != longest {
			t.Fatalf("the longest latency is %v, want %v", got, longest)
		}
	}
	total := telemetry.Total(tally)
	if total.Events != events || total.Replayed != replayed || total.Bytes != bytes || total.Latency != sum || !slices.Equal(total.Buckets, buckets) {
		t.Errorf("counted %+v,\nwant %d events, %d replayed, %d bytes, %v in all, in %v", total, events, replayed, bytes, sum, buckets)
	}
}
