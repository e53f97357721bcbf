package limits

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxClients is how many clients a [Rates] remembers.
const maxClients = 1 << 16

// Rates bounds how often each client may do something: a token bucket a
// client. It remembers at most maxClients. A newcomer beyond them takes the
// place of the client that has been idle for longest: a flood of new addresses
// refuses nobody else, and does not make the server forget who is busy.
// Methods may be called by any goroutine.
type Rates struct {
	limit rate.Limit
	burst int

	mu      sync.Mutex
	clients map[netip.Addr]*list.Element // of *bucket, by Key
	recent  list.List                    // the client that came last is in front
}

type bucket struct {
	*rate.Limiter
	key netip.Addr
}

// NewRates allows each client perSecond on average, and burst at once (at
// least 1). A rate of 0 is no bound.
func NewRates(perSecond float64, burst int) *Rates {
	return &Rates{limit: rate.Limit(perSecond), burst: max(burst, 1), clients: make(map[netip.Addr]*list.Element)}
}

// Take counts one. When that is too much it returns how long to wait, and
// counts nothing.
func (l *Rates) Take(client netip.Addr) (wait time.Duration) {
	if l.limit <= 0 {
		return 0
	}
	key := Key(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := l.bucket(key, now)
	r := b.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait
	}
	return 0
}

func (l *Rates) bucket(key netip.Addr, now time.Time) *bucket {
	if e := l.clients[key]; e != nil {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	l.forget(now)
	b := &bucket{rate.NewLimiter(l.limit, l.burst), key}
	l.clients[key] = l.recent.PushFront(b)
	return b
}

// forget makes room for one client. It forgets up to two clients whose buckets are
// full again, which makes no difference to them: so the table shrinks after a flood.
func (l *Rates) forget(now time.Time) {
	for range 2 {
		e := l.recent.Back()
		if e == nil {
			return
		}
		b := e.Value.(*bucket)
		if b.TokensAt(now) < float64(l.burst) && len(l.clients) < maxClients {
			return
		}
		l.recent.Remove(e)
		delete(l.clients, b.key)
	}
}
