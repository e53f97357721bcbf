package fanout

import (
	"sync/atomic"
	"time"
)

// Turns. After a quiet time all shards have their turn at once: the first event
// is not held up. Under load they have it one after the other, each once within
// the pace. If all connections were written to at the end of each interval, an
// event would wait for the interval and then for all that writing, during which
// the processors have time for nothing else. In turns the writing is spread over
// the interval.
//
// Gain: fewer writes, of several events each ("weir bench" at 1,000 connections
// and 1,000 events a second: less than a sixth of a bare handler's CPU).
// Relies on: the measure of how long writing takes, which is smoothed.
// Guarded by: TestPace, TestTurns, TestPaceGrowsWithTheWriting.

const (
	// maxGather and maxPace are how many times the pace an event can wait: so
	// that fewer writes are needed, and where there is no time for more.
	maxGather = 5
	maxPace   = 20
)

// interval returns for how long events gather, and the time between two turns. It
// goes by the share of the processors' time that it would take to write each event
// by itself:
//   - up to a third: events gather for the pace;
//   - up to two thirds: for longer, since some milliseconds more save most of the
//     writes. With the writing, an event waits for maxGather times the pace at most;
//   - beyond: for as long as keeps the writing at a third, and maxPace times the pace
//     at most.
//
// The caller holds f.mu.
func (f *Feed) interval() (pace, step time.Duration) {
	var writing time.Duration // to all connections, once
	shards := 0
	for _, s := range f.shards {
		if s.members > 0 {
			shards++
			writing += time.Duration(s.sweep.Load())
		}
	}
	shards = max(shards, 1)
	writing /= time.Duration(min(shards, f.procs))
	budget := 3 * writing                   // in which writing takes a third of the processors' time
	share := budget.Seconds() * f.load.rate // 1: writing each event by itself would take that third
	least := float64(f.pace)
	gather := time.Duration(max(least, min(share*least, maxGather*least-float64(writing))))
	spare := time.Duration(min(max(share-1, 0), 1) * float64(budget)) // all of it at two thirds
	pace = max(gather, min(spare, maxPace*f.pace))
	return pace, pace / time.Duration(shards)
}

// arrivals are how often something came into a view of late.
type arrivals struct {
	rate    float64 // a second
	version uint64  // of the feed, at the last count
	at      time.Time
}

// arrivalsOver is for how long back arrivals count.
const arrivalsOver = 200 * time.Millisecond

func (a *arrivals) count(version uint64, now time.Time) {
	if since := now.Sub(a.at); since > 0 {
		rate := float64(version-a.version) / since.Seconds()
		a.rate += (rate - a.rate) * min(1, float64(since)/float64(arrivalsOver))
		a.version, a.at = version, now
	}
}

// changed is called by the log's writer: it sees to it that the next turn comes,
// and writes nothing itself.
func (f *Feed) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	if f.armed {
		return
	}
	f.armed = true
	_, step := f.interval()
	if wait := step - time.Since(f.turnAt); wait > 0 {
		f.schedule(wait)
	} else {
		go f.runTurn()
	}
}

func (f *Feed) schedule(wait time.Duration) {
	if f.timer == nil {
		f.timer = time.AfterFunc(wait, f.runTurn)
	} else {
		f.timer.Reset(wait)
	}
}

// runTurn gives the shard its turn that is next, or all shards after a quiet
// time. It runs in a goroutine of its own, so that no publisher pays for the
// number of connections.
func (f *Feed) runTurn() {
	due := f.nextTurn()
	for _, s := range due {
		s.concurrent.Store(int32(len(due)))
	}
	// As many at a time as there are processors.
	var next atomic.Int32
	work := func() {
		for i := next.Add(1); int(i) <= len(due); i = next.Add(1) {
			due[i-1].write()
		}
	}
	for range min(len(due), f.procs) - 1 {
		go work()
	}
	work()
}

// nextTurn releases what has come to the shards whose turn it is, and returns
// them.
func (f *Feed) nextTurn() (due []*Shard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	now := time.Now()
	pace, step := f.interval()
	all := now.Sub(f.turnAt) >= pace
	if f.turnAt = f.turnAt.Add(step); all {
		f.turnAt = now
	} else if late := now.Add(-step); f.turnAt.Before(late) {
		f.turnAt = late // one turn can be made up for
	}
	head := f.view.Head()
	for range f.shards {
		s := f.shards[f.turn%len(f.shards)]
		if s.members > 0 && s.version != f.version {
			if len(due) > 0 && !all { // the turn is the next one's
				f.armed = true
				f.schedule(f.turnAt.Add(step).Sub(now))
				break
			}
			due = append(due, s)
		}
		s.version = f.version
		s.released.Store(head)
		if f.turn = (f.turn + 1) % len(f.shards); f.turn == 0 {
			f.shared.clear()
			f.load.count(f.version, now)
		}
	}
	return due
}
