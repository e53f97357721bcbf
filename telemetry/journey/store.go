package journey

import (
	"errors"
	"sync"
	"time"
	"unsafe"
)

// Bounds of a store for which none are stated.
const (
	defaultTraces = 8192
	defaultBytes  = 8 << 20
)

// Bounds of one trace and one event. A publisher's own trace may have any number
// of events, and an event any number of deliveries.
const (
	maxEvents     = 64
	maxDeliveries = 12
	// MaxReports is how many reports of pages are kept with an event. Each page's own
	// is kept besides, with what the page got.
	MaxReports = 8
)

// Reasons why [Store.Report] does not take a report.
var (
	ErrUnknown = errors.New("no such event is held")
	ErrTime    = errors.New("the times cannot be")
	ErrTooMany = errors.New("the event has as many reports as it takes")
)

// A Store holds the last events that were sampled. The oldest traces make room
// for the newest. Its methods may be called by any goroutine.
type Store struct {
	node          string
	traces, bytes int // bounds

	mu    sync.Mutex
	byID  map[[16]byte]*trace
	order []*trace // a queue, the oldest at head
	head  int
	size  int
	began time.Time // of the oldest trace that is held, or of the store

	readers readers
}

// NewStore returns the store of a node. It holds at most so many traces, in about so
// many bytes of memory; 0 means the default.
func NewStore(node string, traces, bytes int) *Store {
	if traces <= 0 {
		traces = defaultTraces
	}
	if bytes <= 0 {
		bytes = defaultBytes
	}
	return &Store{node: node, traces: traces, bytes: bytes, byID: make(map[[16]byte]*trace), began: time.Now()}
}

// A trace is what is known of one trace.
type trace struct {
	id     [16]byte
	events []*record
	size   int
	at     time.Time // of its first event
}

// A record is what is known of one event.
type record struct {
	Event
	ref        Ref
	send       Span // zero on a node that did not publish it
	receive    Span // from the broker's hands into the log; zero without a broker
	deliveries []Delivery
	reports    []Report
	told       int // reports, with those that are not kept here
}

// The memory that each takes, about.
const (
	traceSize    = int(unsafe.Sizeof(trace{})) + 96
	recordSize   = int(unsafe.Sizeof(record{})) + 96
	deliverySize = int(unsafe.Sizeof(Delivery{})) + 16
	reportSize   = int(unsafe.Sizeof(Report{})) + 16
)

// Publish notes that an event was published here: from when to when it was sent
// into the log or to the broker.
func (s *Store) Publish(ref Ref, e Event, send Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.record(ref, e); r != nil {
		r.send = send
	}
}

// Receive notes that an event came from the broker: from when to when it was put
// into the log.
func (s *Store) Receive(ref Ref, e Event, receive Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.record(ref, e); r != nil && r.receive.IsZero() { // else it is read again
		r.receive = receive
	}
}

// Deliver notes a delivery that was picked.
func (s *Store) Deliver(ref Ref, e Event, d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.record(ref, e)
	if r == nil {
		return
	}
	if len(r.deliveries) < maxDeliveries {
		r.deliveries = append(r.deliveries, d)
		s.grow(r, deliverySize)
	} else if last := &r.deliveries[maxDeliveries-1]; !d.Replay && (last.Replay || d.Ended.After(last.Ended)) {
		*last = d // the slowest is always among them
	}
}

// Report notes what a page tells of an event. fits corrects the report's times, or
// rejects them. published is when the event was published, or was first heard of here.
// The error is ErrUnknown, ErrTime or ErrTooMany.
func (s *Store) Report(ref Ref, id string, fits func(e Event, published time.Time) (Report, bool)) (Event, Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(ref, id)
	if r == nil {
		return Event{}, Report{}, ErrUnknown
	}
	report, ok := fits(r.Event, r.start())
	if !ok {
		return Event{}, Report{}, ErrTime
	}
	// A page's own is kept with its deliveries, however many pages there are.
	known, again := s.readers.report(ref, report)
	if again || !known && len(r.reports) >= MaxReports {
		return Event{}, Report{}, ErrTooMany
	}
	r.told++
	report.Number = r.told
	if len(r.reports) < MaxReports {
		r.reports = append(r.reports, report)
		s.grow(r, reportSize)
	} else if last := &r.reports[MaxReports-1]; report.Opened.IsZero() && (!last.Opened.IsZero() || report.Shown.After(last.Shown)) {
		*last = report // the slowest is always among them, of those that were there
	}
	return r.Event, report, nil
}

// Held returns how many traces are held, about how many bytes they take, and when
// the oldest of them began.
func (s *Store) Held() (traces, bytes int, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since = s.began
	for _, t := range s.byID {
		if t.at.Before(since) && !t.at.IsZero() { // it became known late
			since = t.at
		}
	}
	return len(s.byID), s.size, since
}

// find returns an event that is held, or nil. The caller holds s.mu.
func (s *Store) find(ref Ref, id string) *record {
	if t := s.byID[ref.Trace]; t != nil {
		for _, r := range t.events {
			if r.ref == ref && (id == "" || r.ID == id) {
				return r
			}
		}
	}
	return nil
}

// record returns the record of an event, and makes room for it when it is new.
// It returns nil when the trace has too many already. The caller holds s.mu.
func (s *Store) record(ref Ref, e Event) *record {
	if r := s.find(ref, ""); r != nil {
		if r.ID == "" { // a delivery was quicker than the publisher heard of the ID
			r.ID = e.ID
		}
		return r
	}
	t := s.byID[ref.Trace]
	if t == nil {
		t = &trace{id: ref.Trace, size: traceSize, at: e.Published}
		s.byID[ref.Trace] = t
		s.order = append(s.order, t)
		s.size += traceSize
	}
	if len(t.events) >= maxEvents {
		return nil
	}
	r := &record{Event: e, ref: ref}
	t.events = append(t.events, r)
	s.grow(r, recordSize+len(e.Topic)+len(e.ID)+len(e.Type)+len(e.Subject))
	if s.byID[ref.Trace] != t {
		return nil // so large that it made room for itself
	}
	return r
}

func (s *Store) grow(r *record, by int) {
	t := s.byID[r.ref.Trace]
	if t == nil {
		return
	}
	t.size += by
	s.size += by
	for s.size > s.bytes || len(s.byID) > s.traces {
		s.evict()
	}
	if s.head > len(s.order)/2 && s.head > 64 {
		n := copy(s.order, s.order[s.head:])
		clear(s.order[n:])
		s.order, s.head = s.order[:n], 0
	}
}

func (s *Store) evict() {
	t := s.order[s.head]
	s.order[s.head] = nil
	s.head++
	s.size -= t.size
	delete(s.byID, t.id)
	if s.head < len(s.order) {
		s.began = s.order[s.head].at
	}
}

// start is when the event was published, or was first heard of here.
func (r *record) start() time.Time {
	switch {
	case !r.Published.IsZero():
		return r.Published
	case !r.send.IsZero():
		return r.send.Began
	case !r.receive.IsZero():
		return r.receive.Began
	case len(r.deliveries) > 0:
		return r.deliveries[0].from()
	default:
		return time.Time{}
	}
}
