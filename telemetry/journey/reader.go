package journey

import "sync"

// How much is remembered of readers.
const (
	// maxReaders is how many readers are remembered; the oldest makes room.
	maxReaders = 256
	// remembered is how many deliveries of one are. The page shows fifty events.
	remembered = 128
)

// A Reader remembers the last deliveries of sampled events to one connection.
type Reader struct {
	connection string

	mu   sync.Mutex
	ring [remembered]own
	next int
}

// own is a delivery to the reader itself.
type own struct {
	ref Ref
	Delivery
}

// readers are those of the open connections that have a page on the other end,
// and of some that are over.
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
	r.ring[r.next] = own{ref, d}
	r.next = (r.next + 1) % remembered
}

// Find returns the last delivery of an event to the reader.
func (r *Reader) Find(ref Ref) (Delivery, bool) {
	if r == nil {
		return Delivery{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i <= remembered; i++ {
		if o := &r.ring[(r.next-i+remembered)%remembered]; o.ref == ref {
			return o.Delivery, true
		}
	}
	return Delivery{}, false
}

// find returns the delivery of an event to a connection, if that has a reader.
func (rs *readers) find(connection string, ref Ref) (Delivery, bool) {
	rs.mu.Lock()
	r := rs.byID[connection]
	rs.mu.Unlock()
	return r.Find(ref)
}
