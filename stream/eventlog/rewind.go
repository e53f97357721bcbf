package eventlog

import "slices"

// A rewind is a point at which a log went back.
type rewind struct {
	kept   ID   // what came up to it stays what it was
	lost   ID   // what came after kept, up to lost, was taken back
	all    bool // the log forgot what it held, too
	reason string
}

// maxRewinds is how many are remembered.
const maxRewinds = 64

// Reset makes the log forget what it holds and start again after floor, which
// may lie before IDs that it has had. Every reader is told by a gap with the
// reason. It is for brokers that have lost the thread: their store rewound, or
// trimmed faster than was read. A log that has had nothing yet has nothing to
// forget: there the first Reset says where it begins, and no reader is told.
func (l *Log) Reset(floor ID, reason string) {
	l.rewind(rewind{kept: floor, all: true, reason: reason})
}

// Rewind takes back the events after kept, and goes on from there; what came
// before stays. It is for brokers whose store has lost its newest events: lost
// is the ID of the last one that is known to be lost, if that is beyond the
// log's own. Every reader is told by a gap with the reason, also one that
// resumes later from before or within what was lost. A reader that has resumed
// from beyond that has the ID from another node: it is told when it turns out
// that the log does not get that ID.
func (l *Log) Rewind(kept, lost ID, reason string) {
	l.rewind(rewind{kept: kept, lost: lost, reason: reason})
}

func (l *Log) rewind(r rewind) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	begun := l.begun || l.all.head > 0
	l.begun = true
	if r.all && l.all.held() == 0 && l.last == r.kept && l.all.floor == r.kept {
		l.mu.Unlock()
		return // nothing changes
	}
	r.lost = latest(r.lost, l.last, r.kept)
	r.all = r.all || r.kept.Compare(l.all.floor) < 0
	kept := l.takeBack(r)
	for _, e := range kept { // under new indices, since readers may be ahead
		l.add(e, nil)
	}
	if l.last.After(r.kept) || l.last.Compare(l.all.floor) < 0 {
		l.last = r.kept
	}
	var wake []*func()
	if begun {
		if len(l.rewinds) == maxRewinds {
			l.rewinds = l.rewinds[1:]
		}
		l.rewinds = append(l.rewinds, r)
		l.epoch++
		wake = l.signalAll()
	}
	l.mu.Unlock()
	call(wake)
}

// takeBack empties the log and its views, and returns what is to be kept.
func (l *Log) takeBack(r rewind) (kept []*Entry) {
	if !r.all {
		for i, n := l.all.tail, l.all.after(r.kept); i < n; i++ {
			if e := l.all.at(i); e.Event != nil {
				kept = append(kept, e)
			}
		}
	}
	floor, why := l.all.floor, l.all.why
	if r.all {
		floor, why = r.kept, r.reason
		l.evicted.begin(floor, why)
	}
	views := []*View{&l.all}
	for _, v := range l.views.all {
		views = append(views, v)
	}
	for _, v := range views {
		v.clear()
		if r.all {
			v.floor, v.why = floor, why
		}
	}
	l.bytes, l.cached, l.bare = 0, 0, l.all.head
	clear(l.held)
	return kept
}

func latest(ids ...ID) ID {
	var newest ID
	for _, id := range ids {
		if id.After(newest) {
			newest = id
		}
	}
	return newest
}

// missed returns the rewinds after an epoch as one; the caller holds l.mu.
func (l *Log) missed(epoch uint64) rewind {
	n := l.epoch - epoch
	if n > uint64(len(l.rewinds)) {
		return rewind{kept: l.all.floor, lost: l.last, all: true, reason: l.all.why}
	}
	recent := l.rewinds[uint64(len(l.rewinds))-n:]
	sum := recent[0]
	for _, r := range recent[1:] {
		if sum.kept.After(r.kept) {
			sum.kept = r.kept
		}
		sum.lost = latest(sum.lost, r.lost)
		sum.all, sum.reason = sum.all || r.all, r.reason
	}
	sum.kept = latest(sum.kept, l.all.floor)
	return sum
}

// lostByRewind reports whether an event with that ID was taken back; the caller
// holds l.mu.
func (l *Log) lostByRewind(id ID) bool {
	return slices.ContainsFunc(l.rewinds, func(r rewind) bool { return id.After(r.kept) && !id.After(r.lost) })
}
