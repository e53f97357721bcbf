package stream

// A rewind is a point at which a log went back.
type rewind struct {
	kept   ID   // what came up to and including it stays what it was
	lost   ID   // what came after kept, up to and including it, was taken back
	all    bool // the log forgot what it held, too
	reason string
}

// maxRewinds is how many are remembered.
const maxRewinds = 64

// Reset makes the log forget what it holds and start again behind floor, which
// may lie before IDs that it has had. Every reader is told by a gap of the
// reason given. It is for followers that have lost the thread: a broker that
// rewound, or trimmed faster than was read. A log that has had nothing yet has
// nothing to forget: there, the first Reset says where it begins, and no
// reader is told.
func (l *Log) Reset(floor ID, reason string) {
	l.rewind(rewind{kept: floor, all: true, reason: reason})
}

// Rewind takes back the events after kept, and goes on from there; what came
// before stays. It is for followers of a broker that has lost its newest
// events: the last that is known to be lost has the ID lost, if that is beyond
// the log's own. Every reader is told by a gap of the reason given, also one
// that resumes later from before or within what was lost.
func (l *Log) Rewind(kept, lost ID, reason string) {
	l.rewind(rewind{kept: kept, lost: lost, reason: reason})
}

func (l *Log) rewind(r rewind) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.all && l.head == l.tail && l.last == r.kept && l.floor == r.kept {
		l.begun = true
		return // nothing changes
	}
	for _, id := range []ID{l.last, r.kept} {
		if id.After(r.lost) {
			r.lost = id
		}
	}
	var held []*Entry
	r.all = r.all || r.kept.Compare(l.floor) < 0
	if !r.all {
		for i, n := l.tail, l.after(r.kept); i < n; i++ {
			if e := l.at(i); e.Event != nil {
				held = append(held, e)
			}
		}
	} else {
		l.floor, l.why = r.kept, r.reason
	}
	if l.last.After(r.kept) || l.last.Compare(l.floor) < 0 {
		l.last = r.kept
	}
	clear(l.ring)
	l.tail, l.bytes = l.head, 0
	for _, e := range held { // under new indices, since readers may be ahead
		l.ring[l.head%uint64(len(l.ring))] = e
		l.head++
		l.bytes += int64(len(e.wire))
	}
	if l.begun || l.head > 0 {
		if len(l.rewinds) == maxRewinds {
			l.rewinds = l.rewinds[1:]
		}
		l.rewinds = append(l.rewinds, r)
		l.epoch++
		l.signal()
	}
	l.begun = true
}

// since returns the rewinds after an epoch as one; the caller holds l.mu.
func (l *Log) since(epoch uint64) rewind {
	missed := l.epoch - epoch
	if missed > uint64(len(l.rewinds)) {
		return rewind{kept: l.floor, lost: l.last, all: true, reason: l.why}
	}
	recent := l.rewinds[uint64(len(l.rewinds))-missed:]
	sum := recent[0]
	for _, r := range recent[1:] {
		if sum.kept.After(r.kept) {
			sum.kept = r.kept
		}
		if r.lost.After(sum.lost) {
			sum.lost = r.lost
		}
		sum.all, sum.reason = sum.all || r.all, r.reason
	}
	if l.floor.After(sum.kept) {
		sum.kept = l.floor
	}
	return sum
}
