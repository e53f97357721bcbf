package telemetry

import (
	"slices"
	"sync"
	"time"

	"weir/telemetry/journey"
)

// How long an event is held open. Its span ends when its way is known: when the
// slowest delivery is known, and the pages that report have reported.
const (
	// slowestAfter is how long after its first delivery an event's slowest is
	// chosen.
	slowestAfter = time.Second
	// reportsAfter is how long after its first delivery the reports of pages are
	// awaited. A page sends them once a second.
	reportsAfter = 3 * time.Second
	// heardAfter is how long the first delivery is awaited.
	heardAfter = 2 * time.Second
	// closeEvery is the sweep interval; events are closed up to this much late. A
	// timer for each event would wake the process as often again as events come.
	closeEvery = 250 * time.Millisecond
	// maxOpen is how many events are held open. Beyond it the oldest event is closed
	// with what is known of it.
	maxOpen = 2048
)

// openEvents are the events whose way is not known yet. Its lock is taken after
// that of an event, never before.
type openEvents struct {
	mu      sync.Mutex
	byRef   map[journey.Ref]*eventTrace
	queue   []*eventTrace // in the order in which they were added
	closing bool          // a timer will call sweep
}

// add holds an event open.
func (o *openEvents) add(et *eventTrace) {
	now := time.Now()
	o.mu.Lock()
	if o.byRef == nil {
		o.byRef = make(map[journey.Ref]*eventTrace)
	}
	var oldest *eventTrace
	if len(o.queue) >= maxOpen {
		oldest = o.queue[0]
		o.drop(0)
	}
	et.due = now.Add(heardAfter)
	et.limit = et.due
	o.byRef[et.ref] = et
	o.queue = append(o.queue, et)
	o.schedule()
	o.mu.Unlock()
	if oldest != nil {
		oldest.close(nil)
	}
}

// find returns the open event, or nil.
func (o *openEvents) find(ref journey.Ref) *eventTrace {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byRef[ref]
}

// delivered notes the first delivery of an event.
func (o *openEvents) delivered(et *eventTrace, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	et.due, et.limit = at.Add(slowestAfter), at.Add(reportsAfter)
}

// schedule has sweep run. The caller holds o.mu.
func (o *openEvents) schedule() {
	if !o.closing && len(o.queue) > 0 {
		o.closing = true
		time.AfterFunc(closeEvery, o.sweep)
	}
}

// sweep closes the events whose time has come.
func (o *openEvents) sweep() {
	now := time.Now()
	var due []*eventTrace
	o.mu.Lock()
	o.queue = slices.DeleteFunc(o.queue, func(et *eventTrace) bool {
		if now.Before(et.due) || now.Before(et.limit) && et.awaitsReports() {
			return false
		}
		delete(o.byRef, et.ref)
		due = append(due, et)
		return true
	})
	o.closing = false
	o.schedule()
	o.mu.Unlock()
	for _, et := range due {
		et.close(nil)
	}
}

// drop takes an event out. The caller holds o.mu.
func (o *openEvents) drop(i int) {
	delete(o.byRef, o.queue[i].ref)
	o.queue = slices.Delete(o.queue, i, i+1)
}

// close closes an event before its time: nothing more will come.
func (o *openEvents) close(et *eventTrace, err error) {
	o.mu.Lock()
	if i := slices.Index(o.queue, et); i >= 0 {
		o.drop(i)
	}
	o.mu.Unlock()
	et.close(err)
}

// closeAll closes all events as they are.
func (o *openEvents) closeAll() {
	o.mu.Lock()
	all := o.queue
	o.queue, o.byRef = nil, nil
	o.mu.Unlock()
	for _, et := range all {
		et.close(nil)
	}
}
