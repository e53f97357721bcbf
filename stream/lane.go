package stream

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// A lane is a share of the connections that follow a log. They see the entries
// below released only, which moves when the lane has its turn. Then the turn
// functions are called, which have what has come written to the connections.
//
// After a quiet time all lanes have their turn at once: the first event is not
// held up. Under load they have it one after the other, each once within the
// pace. Were all connections written to at the end of each interval, an event
// would wait for the interval and then for all that writing, during which the
// processors have time for nothing else. In turns, the writing is spread over
// the interval.
type lane struct {
	members  int // connections; guarded by the log's mu, as are the next three
	released uint64
	version  uint64   // of the log, at the lane's last turn
	turns    []func() // called at each
	index    int
	company  atomic.Int32 // lanes that had the last turn together, with this one
	sweep    atomic.Int64 // how long writing to its connections takes, in nanoseconds
}

const (
	maxLanes = 8
	// laneSize is for how many connections there is a lane: a turn has a price
	// of its own.
	laneSize = 64
	// maxGather and maxPace are how many times LogOptions.Pace an event can wait:
	// so that fewer writes are needed, and where there is no time for more.
	maxGather = 5
	maxPace   = 20
)

// join puts a connection into the lane that has the fewest, of as many as its
// log needs. Those that share something, which they name, are together.
func (l *Log) join(shared string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if shared != "" {
		lane := &l.lanes[maphash.String(laneSeed, shared)%maxLanes]
		lane.members++
		return lane
	}
	members := 0
	for i := range l.lanes {
		members += l.lanes[i].members
	}
	best := &l.lanes[0]
	for i := range min(maxLanes, 1+members/laneSize) {
		if lane := &l.lanes[i]; lane.members < best.members {
			best = lane
		}
	}
	best.members++
	return best
}

var laneSeed = maphash.MakeSeed()

// part takes a connection out of its lane.
func (l *Log) part(lane *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane.members--
}

// onTurn has a function called at each turn of a lane, for as long as the log is
// there. It may be called again before it has returned.
func (l *Log) onTurn(lane *lane, turn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane.turns = append(lane.turns, turn)
}

// took takes note of how long writing to the lane's connections took: smoothed,
// since now and then the system lets somebody else run in the middle of it.
func (l *lane) took(d time.Duration) {
	before := l.sweep.Load()
	l.sweep.Store(before + (int64(d)-before)/8)
}

// pace is how long to gather. While the processors have the time to write each
// event by itself, it is LogOptions.Pace. When that would take more than a third
// of their time, they gather anyway, and some milliseconds more save most of the
// writes: an event then waits, for the pace and for the writing, up to maxGather
// times as long. When it would take more than two thirds, the pace is so long
// that writing takes no more than one, within a limit: without it they would
// write all the time, and an event would wait for longer still. The second
// result is the time between two turns. The caller holds l.mu.
func (l *Log) pace() (pace, step time.Duration) {
	var writing time.Duration // to all connections, once
	lanes := 0
	for i := range l.lanes {
		if lane := &l.lanes[i]; lane.members > 0 {
			lanes++
			writing += time.Duration(lane.sweep.Load())
		}
	}
	lanes = max(lanes, 1)
	writing /= time.Duration(min(lanes, l.procs))
	third := 3 * writing
	load := third.Seconds() * l.arrivals.rate // of each event by itself; a third of the processors' time is 1
	least := float64(l.opts.Pace)
	gather := time.Duration(max(least, min(load*least, maxGather*least-float64(writing))))
	spare := time.Duration(min(max(load-1, 0), 1) * float64(third)) // all of it at two thirds
	pace = max(gather, min(spare, maxPace*l.opts.Pace))
	return pace, pace / time.Duration(lanes)
}

// arrivals are how often something came into a log of late.
type arrivals struct {
	rate    float64 // a second
	version uint64  // of the log, at the last count
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

// arm has release run when the next turn is due; the caller holds l.mu.
func (l *Log) arm() {
	if l.armed {
		return
	}
	l.armed = true
	_, step := l.pace()
	if wait := step - time.Since(l.turnAt); wait > 0 {
		l.schedule(wait)
	} else {
		go l.release()
	}
}

func (l *Log) schedule(wait time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.release)
	} else {
		l.timer.Reset(wait)
	}
}

// release lets connections see what has come in: those of the lane whose turn
// it is, or of all; and has it written to them. It runs in a goroutine of its
// own, so that no publisher pays for the number of connections.
func (l *Log) release() {
	deepen()
	l.mu.Lock()
	now := time.Now()
	pace, step := l.pace()
	all := now.Sub(l.turnAt) >= pace
	if l.turnAt = l.turnAt.Add(step); all {
		l.turnAt = now
	} else if late := now.Add(-step); l.turnAt.Before(late) {
		l.turnAt = late // one turn can be made up for
	}
	l.armed = false
	var turns []func()
	var had [maxLanes]*lane
	lanes := had[:0]
	for range maxLanes {
		lane := &l.lanes[l.turn]
		if lane.members > 0 && lane.version != l.version {
			if len(lanes) > 0 && !all { // the turn is the next one's
				l.armed = true
				l.schedule(l.turnAt.Add(step).Sub(now))
				break
			}
			lanes = append(lanes, lane)
			turns = append(turns, lane.turns...)
		}
		lane.released, lane.version = l.head, l.version
		if l.turn = (l.turn + 1) % maxLanes; l.turn == 0 {
			l.runs.clear()
			l.arrivals.count(l.version, now)
		}
	}
	for _, lane := range lanes {
		lane.company.Store(int32(len(lanes)))
	}
	l.mu.Unlock()
	// As many at a time as there are processors.
	var next atomic.Int32
	work := func() {
		for i := next.Add(1); int(i) <= len(turns); i = next.Add(1) {
			turns[i-1]()
		}
	}
	for range min(len(turns), l.procs) - 1 {
		go func() { deepen(); work() }()
	}
	work()
}

// deepen makes room on the stack of a goroutine that is to call hooks. A stack
// grows by copying, which takes the longer the more is on it.
//
//go:noinline
func deepen() {
	var room [6 << 10]byte
	touch(&room)
}

//go:noinline
func touch(*[6 << 10]byte) {}

// runs are the batches that cursors share which stand at the same place, by
// their first index.
type runs struct {
	mu   sync.Mutex
	held map[uint64]*Batch
}

// maxRuns bounds how many batches are shared at a time.
const maxRuns = 64

func (r *runs) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.held)
}

// run returns the entries from..limit, or as many of them as one batch holds:
// the same batch for every cursor that stands at from, since all that keep up,
// and most that lag, stand at the same few places. The caller holds l.mu.
func (l *Log) run(from, limit uint64) *Batch {
	l.runs.mu.Lock()
	defer l.runs.mu.Unlock()
	if b := l.runs.held[from]; b != nil && (b.to == limit || b.to < limit && b.full) {
		return b
	}
	b := l.batch(from, limit)
	if l.runs.held == nil {
		l.runs.held = make(map[uint64]*Batch)
	}
	if _, is := l.runs.held[from]; is || len(l.runs.held) < maxRuns {
		l.runs.held[from] = b
	}
	return b
}
