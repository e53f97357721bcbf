package telemetry

import (
	"slices"
	"sync"
	"time"

	"weir/telemetry/journey"
)

const (
	// closeEvery is the sweep interval; events are closed up to this much late. A
	// timer for each event would wake the process as often again as events come.
	closeEvery = 250 * time.Millisecond
	// maxPending is how many events are pending. Beyond it the oldest event is closed
	// with what is known of it.
	maxPending = 2048
)

// pendingEvents are the events whose way is not known yet. It closes each when its
// way is known. Its lock is not held while that of an event is taken. Any goroutine
// may call its methods.
type pendingEvents struct {
	mu       sync.Mutex
	byRef    map[journey.Ref]*eventTrace
	queue    []*eventTrace // in the order in which they were added
	sweeping bool          // a timer will call sweep
}

// add holds an event until its way is known.
func (p *pendingEvents) add(et *eventTrace) {
	p.mu.Lock()
	if p.byRef == nil {
		p.byRef = make(map[journey.Ref]*eventTrace)
	}
	var oldest *eventTrace
	if len(p.queue) >= maxPending {
		oldest = p.queue[0]
		p.drop(0)
	}
	p.byRef[et.ref] = et
	p.queue = append(p.queue, et)
	p.schedule()
	p.mu.Unlock()
	if oldest != nil {
		oldest.close(nil)
	}
}

// find returns the pending event, or nil.
func (p *pendingEvents) find(ref journey.Ref) *eventTrace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byRef[ref]
}

// schedule has sweep run. The caller holds p.mu.
func (p *pendingEvents) schedule() {
	if !p.sweeping && len(p.queue) > 0 {
		p.sweeping = true
		time.AfterFunc(closeEvery, p.sweep)
	}
}

// sweep closes the events whose way is known.
func (p *pendingEvents) sweep() {
	now := time.Now()
	var known []*eventTrace
	p.mu.Lock()
	p.queue = slices.DeleteFunc(p.queue, func(et *eventTrace) bool {
		if !et.known(now) {
			return false
		}
		delete(p.byRef, et.ref)
		known = append(known, et)
		return true
	})
	p.sweeping = false
	p.schedule()
	p.mu.Unlock()
	for _, et := range known {
		et.close(nil)
	}
}

// drop takes an event out. The caller holds p.mu.
func (p *pendingEvents) drop(i int) {
	delete(p.byRef, p.queue[i].ref)
	p.queue = slices.Delete(p.queue, i, i+1)
}

// close closes an event before its time: nothing more will come.
func (p *pendingEvents) close(et *eventTrace, err error) {
	p.mu.Lock()
	if i := slices.Index(p.queue, et); i >= 0 {
		p.drop(i)
	}
	p.mu.Unlock()
	et.close(err)
}

// closeAll closes all events as they are.
func (p *pendingEvents) closeAll() {
	p.mu.Lock()
	all := p.queue
	p.queue, p.byRef = nil, nil
	p.mu.Unlock()
	for _, et := range all {
		et.close(nil)
	}
}
