package web

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"weir/stream"
)

// Limits bound what clients may take. A zero turns a limit off.
type Limits struct {
	// Conns is how many streams may be open in all.
	Conns int
	// ConnsPerClient is how many streams one client address may have open.
	ConnsPerClient int
	// ConnectRate is how many streams one client address may open a second, on
	// average; a burst of ten seconds' worth is let through.
	ConnectRate float64
	// PublishRate is how many requests to publish one client address may make
	// a second, on average; a burst of a second's worth is let through.
	PublishRate float64
}

// burstSeconds is how many seconds' worth of streams a client may open at
// once: a browser that comes back restores all its tabs.
const burstSeconds = 10

// A gate counts the open streams against the limits. Newcomers are refused;
// nobody is evicted.
type gate struct {
	limits  Limits
	proxies TrustedProxies
	connect rates

	mu     sync.Mutex
	total  int
	client map[netip.Addr]int
}

func newGate(limits Limits, proxies TrustedProxies) *gate {
	return &gate{
		limits: limits, proxies: proxies, client: make(map[netip.Addr]int),
		connect: connectRates(limits),
	}
}

func connectRates(limits Limits) rates {
	return rates{limit: rate.Limit(limits.ConnectRate), burst: int(math.Ceil(limits.ConnectRate * burstSeconds))}
}

// knock counts an attempt to open a stream, granted or not.
func (g *gate) knock(r *http.Request) *stream.Refusal {
	if wait := g.connect.take(clientKey(g.proxies.Client(r))); wait > 0 {
		return problemLater(http.StatusTooManyRequests, "connect_rate",
			"Too many streams were opened from your address within a short time. Wait a moment.", wait)
	}
	return nil
}

// enter takes a slot, which the returned function gives back.
func (g *gate) enter(r *http.Request) (release func(), refusal *stream.Refusal) {
	key := clientKey(g.proxies.Client(r))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limits.Conns > 0 && g.total >= g.limits.Conns {
		return nil, problemLater(http.StatusServiceUnavailable, "max_conns",
			"This server has as many streams open as it may have. Try again later.", 10*time.Second)
	}
	if g.limits.ConnsPerClient > 0 && g.client[key] >= g.limits.ConnsPerClient {
		return nil, problemLater(http.StatusTooManyRequests, "max_conns_per_client",
			fmt.Sprintf("Your address has %d streams open, which is as many as it may have. Close one, for example in another tab.", g.client[key]), 10*time.Second)
	}
	g.total++
	g.client[key]++
	var once sync.Once
	return func() { once.Do(func() { g.release(key) }) }, nil
}

func (g *gate) release(key netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.client[key]--; g.client[key] <= 0 {
		delete(g.client, key)
	}
}

// open returns the slots taken in all, and the clients that hold any.
func (g *gate) open() (total, clients int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total, len(g.client)
}

// maxClients bounds the memory of a rates.
const maxClients = 1 << 16

// rates holds a token bucket a client.
type rates struct {
	limit rate.Limit
	burst int

	mu      sync.Mutex
	clients map[netip.Addr]*rate.Limiter
}

// take takes a token, or returns how long to wait for one.
func (l *rates) take(key netip.Addr) time.Duration {
	if l.limit <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	bucket := l.clients[key]
	if bucket == nil {
		if len(l.clients) >= maxClients {
			l.sweep(now)
		}
		if l.clients == nil {
			l.clients = make(map[netip.Addr]*rate.Limiter)
		}
		bucket = rate.NewLimiter(l.limit, max(l.burst, 1))
		l.clients[key] = bucket
	}
	r := bucket.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait
	}
	return 0
}

// sweep forgets the clients whose buckets are full, for whom it makes no
// difference; when most are busy, everybody, which only errs on the lenient
// side. It always makes so much room that looking at all of them is rare.
func (l *rates) sweep(now time.Time) {
	for key, bucket := range l.clients {
		if bucket.TokensAt(now) >= float64(bucket.Burst()) {
			delete(l.clients, key)
		}
	}
	if len(l.clients) > maxClients/2 {
		clear(l.clients)
	}
}
