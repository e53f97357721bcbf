package limits

import (
	"net/netip"
	"sync"
)

// Slots counts what clients hold, such as open streams, against a bound in all
// and a bound for each client. Newcomers are refused; nobody is evicted.
// Methods may be called by any goroutine.
type Slots struct {
	inAll, perClient int // 0: no bound

	mu     sync.Mutex
	total  int
	client map[netip.Addr]int // by Key
}

// NewSlots returns slots with these bounds. A zero is no bound.
func NewSlots(inAll, perClient int) *Slots {
	return &Slots{inAll: inAll, perClient: perClient, client: make(map[netip.Addr]int)}
}

// A Shortage says which bound is reached.
type Shortage int

// The shortages.
const (
	Room      Shortage = iota // no bound is reached
	InAll                     // all clients together hold as many as they may
	PerClient                 // this client does
)

// Take takes a slot for the client. Release gives the slot back; calls after
// the first do nothing. Release is nil when there is a shortage.
func (s *Slots) Take(client netip.Addr) (release func(), shortage Shortage) {
	return s.take(client, true)
}

// take does what Take does. With countClient false the bound for each client does
// not hold.
func (s *Slots) take(client netip.Addr, countClient bool) (release func(), shortage Shortage) {
	key := Key(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if countClient && s.perClient > 0 && s.client[key] >= s.perClient {
		return nil, PerClient
	}
	if s.inAll > 0 && s.total >= s.inAll {
		return nil, InAll
	}
	s.total++
	s.client[key]++
	var once sync.Once
	return func() { once.Do(func() { s.release(key) }) }, Room
}

func (s *Slots) release(key netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.client[key]--; s.client[key] <= 0 {
		delete(s.client, key)
	}
}

// Taken returns how many slots are taken in all, and by how many clients.
func (s *Slots) Taken() (total, clients int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, len(s.client)
}
