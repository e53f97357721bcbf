package eventlog

import (
	"slices"
	"sort"
)

// A View is what readers see of a log: all of it, or the entries whose subjects
// match some filters. The entries are the log's own, under the same IDs, and
// have an index of their own in the view. All methods may be called by any
// goroutine.
type View struct {
	log    *Log
	filter Filter // nothing: everything

	// The rest is guarded by the log's mu.
	ring       []*Entry // entry i is ring[i%len(ring)], for tail <= i < head
	tail, head uint64
	notices    []uint64 // the indices of the announcements held, and of the last that were dropped
	floor      ID       // nothing of the view up to it is held
	why        string   // what a reader is told that is behind the floor
	watchers   []*func()
	readers    int
	round      uint64 // of views.of, in which it was found last
}

// Watch has f called soon after each change of the view, until stop is called:
// a new entry, the log's end, a rewind. f runs in the goroutine of the writer
// and must not call the log's writing methods.
func (v *View) Watch(f func()) (stop func()) {
	w := &f
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	v.watchers = append(slices.Clip(v.watchers), w)
	return func() {
		v.log.mu.Lock()
		defer v.log.mu.Unlock()
		v.watchers = slices.DeleteFunc(slices.Clone(v.watchers), func(o *func()) bool { return o == w })
	}
}

// Head returns the index that the next entry will have.
func (v *View) Head() uint64 {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return v.head
}

// Span is what the view holds: indices, and IDs of the log.
type Span struct {
	Tail, Head  uint64 // Tail <= index < Head
	Floor, Last ID     // nothing up to Floor is held; Last is the log's newest
	Epoch       uint64 // rises when the log goes back
}

// Span returns what the view holds now.
func (v *View) Span() Span {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return Span{v.tail, v.head, v.floor, v.log.last, v.log.epoch}
}

// Entries appends the entries from <= index < to to dst. It appends none when
// the view does not hold them all any more.
func (v *View) Entries(dst []*Entry, from, to uint64) []*Entry {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	if from < v.tail || to > v.head {
		return dst
	}
	for i := from; i < to; i++ {
		dst = append(dst, v.at(i))
	}
	return dst
}

// Events returns how many of the entries from <= index < to are events.
func (v *View) Events(from, to uint64) uint64 {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return v.events(from, to)
}

// Last returns the ID of the log's newest event, or its floor before the first.
func (v *View) Last() ID { return v.log.Last() }

// Ended returns why the log was closed, or "" while it is open.
func (v *View) Ended() string { return v.log.Ended() }

// Live returns a cursor that reads what comes from now on.
func (v *View) Live() *Cursor {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return v.live()
}

func (v *View) live() *Cursor {
	l := v.log
	c := &Cursor{view: v, last: l.last, epoch: l.epoch, fault: l.fault, since: l.last, opened: v.head}
	c.next.Store(v.head)
	return c
}

// Newest returns a cursor that first reads the newest n events held. In a view
// of several subjects these are the newest n of each subject.
func (v *View) Newest(n int) *Cursor {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	c := v.live()
	if n <= 0 {
		return c
	}
	left := map[string]int{}
	for i := v.head; i > v.tail; i-- {
		e := v.at(i - 1)
		if e.Event == nil {
			continue
		}
		subject := ""
		if len(v.filter) > 0 {
			subject = e.Event.Subject
		}
		if left[subject] == n {
			if len(v.filter) <= 1 && !v.manySubjects() {
				break
			}
			continue
		}
		left[subject]++
		c.first = append(c.first, e)
	}
	slices.Reverse(c.first)
	if c.before = v.floor; len(c.first) > 0 {
		if i := v.after(c.first[0].ID); i >= v.tail+2 {
			c.before = v.at(i - 2).ID
		}
	}
	return c
}

// manySubjects reports whether entries of the view can differ in subject.
func (v *View) manySubjects() bool {
	return slices.ContainsFunc(v.filter, func(p string) bool { return p[len(p)-1] == '*' })
}

// From returns a cursor that reads what comes after id, as a client asks that
// gives its last event ID. The zero ID stands for everything held. Where the
// log cannot vouch for all that came after id, the cursor's first answer is a
// [Gap].
func (v *View) From(id ID) *Cursor {
	l := v.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := v.live()
	if id.IsZero() {
		c.next.Store(v.tail)
		c.last = v.floor
		return c
	}
	if id.After(l.last) {
		if !l.lostByRewind(id) {
			c.resumeAhead(id)
			return c
		}
	}
	for _, r := range l.rewinds {
		if id.After(r.kept) && !id.After(r.lost) && !l.all.has(id) {
			c.last = latest(r.kept, v.floor) // the event was taken back
			if r.lost.After(id) {
				c.tell(id, r.lost, r.reason) // and others that the reader never had
				id = r.lost
			}
			c.tell(id, c.last, r.reason)
			c.next.Store(v.after(c.last))
			return c
		}
	}
	if id.Compare(v.floor) < 0 {
		c.tell(id, v.floor, v.why)
		c.next.Store(v.tail)
		c.last = v.floor
	} else {
		c.next.Store(v.after(id))
		c.last = id
	}
	for _, r := range l.rewinds {
		if !r.all && !id.After(r.kept) && r.lost.After(r.kept) && r.kept.Compare(v.floor) >= 0 {
			c.tell(r.kept, r.lost, r.reason)
		}
	}
	return c
}

// Leave counts a reader out.
func (v *View) Leave() {
	if v.filter == nil {
		return
	}
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	s := &v.log.views
	if v.readers--; v.readers > 0 {
		return
	}
	if s.idle = append(s.idle, v); len(s.idle) > maxIdle {
		s.remove(s.idle[0])
		s.idle = s.idle[1:]
	}
}

// fill takes over what the log holds.
func (v *View) fill() {
	l := v.log
	for i := l.all.tail; i < l.all.head; i++ {
		if e := l.all.at(i); e.Event == nil || v.filter.Match(e.Event.Subject) {
			v.push(e)
		}
	}
}

// The caller of what follows holds the log's mu.

func (v *View) held() int { return int(v.head - v.tail) }

func (v *View) at(i uint64) *Entry { return v.ring[i%uint64(len(v.ring))] }

func (v *View) push(e *Entry) {
	if n := uint64(len(v.ring)); v.head-v.tail == n {
		grown := make([]*Entry, max(2*n, 4))
		for i := v.tail; i < v.head; i++ {
			grown[i%uint64(len(grown))] = v.ring[i%n]
		}
		v.ring = grown
	}
	v.ring[v.head%uint64(len(v.ring))] = e
	if e.Event == nil {
		v.notices = append(v.notices, v.head)
	}
	v.head++
}

// keptNotices is how many of the announcements that a view has dropped are remembered,
// so that a reader who was to read them is not said to have lost as many events.
const keptNotices = 64

func (v *View) forgetNotices() {
	if dropped, _ := slices.BinarySearch(v.notices, v.tail); dropped > keptNotices {
		v.notices = v.notices[dropped-keptNotices:]
	}
}

// events returns how many of the entries from <= index < to are events.
func (v *View) events(from, to uint64) uint64 {
	if from >= to {
		return 0
	}
	first, _ := slices.BinarySearch(v.notices, from)
	last, _ := slices.BinarySearch(v.notices, to)
	return to - from - uint64(last-first)
}

// evict drops the oldest entry, which is e.
func (v *View) evict(e *Entry) {
	v.ring[v.tail%uint64(len(v.ring))] = nil
	v.tail++
	if e.Event == nil { // nobody comes back for an announcement
		v.forgetNotices()
		return
	}
	v.floor, v.why = e.ID, GapExpired
}

// clear drops all entries, and says nothing of the floor.
func (v *View) clear() {
	clear(v.ring)
	v.tail = v.head
	v.forgetNotices()
}

// after returns the index of the oldest entry held that is later than id.
func (v *View) after(id ID) uint64 {
	n := sort.Search(v.held(), func(i int) bool { return v.at(v.tail + uint64(i)).ID.After(id) })
	return v.tail + uint64(n)
}

// Find returns the event with that ID, or nil where the view does not hold it.
func (v *View) Find(id ID) *Entry {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	return v.find(id)
}

func (v *View) find(id ID) *Entry {
	for i := v.after(id); i > v.tail; i-- {
		if e := v.at(i - 1); e.ID != id {
			return nil
		} else if e.Event != nil {
			return e
		}
	}
	return nil
}

// has reports whether the event with that ID is held.
func (v *View) has(id ID) bool { return v.find(id) != nil }
