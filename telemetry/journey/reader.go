package journey

import (
	"sync"
	"time"
)

// How much is remembered of readers.
const (
	// maxReaders is how many readers are remembered; the oldest makes room.
	maxReaders = 256
	// remembered is how many deliveries to one reader are remembered. The page shows
	// fifty events.
	remembered = 128
)

// A Reader remembers the last deliveries of sampled events to one connection.
type Reader struct {
	connection string

	mu   sync.Mutex
	ring [remembered]own
	next int
}

// own is a delivery to the reader itself, and what its page told of it.
type own struct {
	ref Ref
	Delivery
	received, shown time.Time // zero: it has told nothing
	busy            time.Duration
	unseen          bool
}

// readers are the readers of open connections that have a page on the other end,
// and of some connections that have ended.
type readers struct {
	mu    sync.Mutex
	byID  map[string]*Reader
	order []string // those in byID, in a ring once there are maxReaders
	next  int      // place in the ring of the reader that was added first
}

// Reader returns the reader of a connection, and begins to remember for it.
func (s *Store) Reader(connection string) *Reader {
	rs := &s.readers
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.byID[connection]; r != nil {
		return r
	}
	if rs.byID == nil {
		rs.byID = make(map[string]*Reader)
	}
	if len(rs.order) < maxReaders {
		rs.order = append(rs.order, connection)
	} else {
		delete(rs.byID, rs.order[rs.next])
		rs.order[rs.next] = connection
		rs.next = (rs.next + 1) % maxReaders
	}
	r := &Reader{connection: connection}
	rs.byID[connection] = r
	return r
}

// Deliver notes a delivery to the reader.
func (r *Reader) Deliver(ref Ref, d Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.Connection = r.connection
	r.ring[r.next] = own{ref: ref, Delivery: d}
	r.next = (r.next + 1) % remembered
}

// Find returns the last delivery of an event to the reader.
func (r *Reader) Find(ref Ref) (Delivery, bool) {
	if r == nil {
		return Delivery{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.find(ref); o != nil {
		return o.Delivery, true
	}
	return Delivery{}, false
}

// find returns the last delivery of an event, or nil. The caller holds r.mu.
func (r *Reader) find(ref Ref) *own {
	for i := 1; i <= remembered; i++ {
		if o := &r.ring[(r.next-i+remembered)%remembered]; o.ref == ref {
			return o
		}
	}
	return nil
}

// find returns the delivery of an event to a connection, if that has a reader, and
// what its page told.
func (rs *readers) find(connection string, ref Ref) (d Delivery, report *Report, ok bool) {
	r := rs.get(connection)
	if r == nil {
		return Delivery{}, nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.find(ref)
	if o == nil {
		return Delivery{}, nil, false
	}
	if !o.received.IsZero() {
		report = &Report{Connection: connection, Received: o.received, Shown: o.shown, Unseen: o.unseen, Busy: o.busy}
	}
	return o.Delivery, report, true
}

// report keeps what a page told of its own delivery. It is not known when the
// connection has no reader that remembers the delivery, and again when it has been
// told before.
func (rs *readers) report(ref Ref, p Report) (known, again bool) {
	r := rs.get(p.Connection)
	if r == nil {
		return false, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.find(ref)
	if o == nil || !o.received.IsZero() {
		return o != nil, o != nil
	}
	o.received, o.shown, o.busy, o.unseen = p.Received, p.Shown, p.Busy, p.Unseen
	return true, false
}

func (rs *readers) get(connection string) *Reader {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.byID[connection]
}
