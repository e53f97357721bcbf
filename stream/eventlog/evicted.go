package eventlog

import (
	"container/list"
	"strings"
)

// maxEvicted is how many subjects a log remembers of which it no longer holds the
// newest event, at least; a log that holds more events remembers as many.
const maxEvicted = 4096

// evictions are what a log knows of the events that it has dropped: of each subject
// the newest. By this a view that is made later knows whether something that
// matches is gone, and a reader of a quiet view is told no gap in which nothing of
// its own was. The memory is bounded: beyond most subjects the one whose last event
// was dropped first is forgotten, and of what was dropped up to then the log knows
// no longer whose it was. The caller of the methods holds the log's mu.
type evictions struct {
	most    int
	horizon ID     // of what was dropped up to it the log does not know
	why     string // what a reader is told that is behind the horizon
	of      map[string]*list.Element
	order   list.List // of *eviction, the oldest first
}

// An eviction is the newest event of a subject that was dropped.
type eviction struct {
	subject string
	id      ID
}

// begin forgets everything up to a horizon.
func (x *evictions) begin(horizon ID, why string) {
	x.horizon, x.why = horizon, why
	clear(x.of)
	x.order.Init()
}

// note takes note of an event that is dropped. Their IDs rise.
func (x *evictions) note(subject string, id ID) {
	if e := x.of[subject]; e != nil {
		e.Value.(*eviction).id = id
		x.order.MoveToBack(e)
		return
	}
	subject = strings.Clone(subject) // not a piece of the event, which would be kept with it
	if x.of == nil {
		x.of = make(map[string]*list.Element)
	}
	x.of[subject] = x.order.PushBack(&eviction{subject, id})
	if len(x.of) > x.most {
		oldest := x.order.Remove(x.order.Front()).(*eviction)
		delete(x.of, oldest.subject)
		x.horizon, x.why = oldest.id, GapExpired
	}
}

// floor returns the ID up to which nothing that a filter lets through is held, or
// known not to have been, and what a reader is told that is behind it.
func (x *evictions) floor(f Filter) (ID, string) {
	for e := x.order.Back(); e != nil; e = e.Prev() { // the newest first
		if one := e.Value.(*eviction); f.Match(one.subject) {
			return one.id, GapExpired
		}
	}
	return x.horizon, x.why
}
