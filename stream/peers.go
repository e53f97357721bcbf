package stream

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"weir/stream/internal/netpoll"
)

type connKey struct{}

// A heldConn is what ConnContext keeps of a connection.
type heldConn struct {
	raw syscall.RawConn // of the socket, also below TLS
	fd  int             // of the connection itself; -1 where something wraps it
}

// ConnContext is for [http.Server.ConnContext]. With it a [Handler] notices
// clients that vanish without a word, and TransportLean can take connections
// over.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	held := heldConn{fd: -1}
	if fd, ok := netpoll.Descriptor(c); ok {
		held.fd = fd
	}
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = t.NetConn()
	}
	if held.raw = netpoll.Raw(c); held.raw == nil {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, held)
}

// NewListener returns a listener for an [http.Server] that serves many streams:
// its TCP connections are read and written with fewer interruptions of Go's
// scheduler, on Linux. Everything else is passed on as it is.
func NewListener(l net.Listener) net.Listener { return netpoll.NewListener(l) }

// hangUps tells the lean transport when clients go: the connections that were
// taken over have nobody who reads from them.
type hangUps struct {
	mu       sync.Mutex
	poller   *netpoll.Poller
	users    int
	sessions map[uint64]*session
	keys     uint64
}

// start counts a user in, and reports whether there can be any.
func (h *hangUps) start() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.poller == nil {
		poller, err := netpoll.NewPoller()
		if err != nil {
			return false
		}
		h.poller = poller
		h.sessions = make(map[uint64]*session)
		go poller.Run(func(key uint64) {
			h.mu.Lock()
			s := h.sessions[key]
			h.mu.Unlock()
			if s != nil {
				s.stop(&closure{reason: s.conn.leftBy()})
			}
		})
	}
	h.users++
	return true
}

// watch has a session told when its client hangs up.
func (h *hangUps) watch(fd int, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys++
	s.hangUpKey = h.keys
	h.sessions[h.keys] = s
	_ = h.poller.Add(fd, h.keys) // else the next write will tell
}

// leave counts a user out, and forgets the key of its connection. With the last
// user the poller ends.
func (h *hangUps) leave(key uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, key)
	if h.users--; h.users == 0 {
		_ = h.poller.Close() // an epoll instance: nothing is lost
		h.poller, h.sessions = nil, nil
	}
}

// The peer monitor. A client may vanish without a word: its battery is empty, or
// a router on the way has forgotten the connection. What is written to it goes
// into the socket's buffer and no write fails, until TCP gives up a quarter of
// an hour later. So the handler asks the system, where that can tell (Linux),
// whether what was sent has been acknowledged.

var errVanished = errors.New("the client acknowledges nothing any more")

// A peerWatch is what the monitor remembers of a connection.
type peerWatch struct {
	clean int64     // Conn.wrote when nothing was outstanding
	since time.Time // something has been outstanding, and nothing heard; zero if not
}

// A monitor looks at the peers of open connections, for as long as there are
// some.
type monitor struct {
	mu   sync.Mutex
	runs bool // look will be called
}

// minSilence is for how long a client may acknowledge nothing at least: an
// acknowledgement may be delayed by design (RFC 9293, section 3.8.6.3), and a
// lost packet takes its time.
const minSilence = 2 * time.Second

// every is how often the monitor looks: so often that a client is
// found to have vanished before the write timeout is over, counted from the first
// write that it has not acknowledged.
func every(writeTimeout time.Duration) time.Duration { return max(writeTimeout, minSilence) / 8 }

// start sees to it that the peers of the open connections are looked at.
func (m *monitor) start(writeTimeout time.Duration, open func() []*Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.runs {
		m.runs = true
		time.AfterFunc(every(writeTimeout), func() { m.look(writeTimeout, open) })
	}
}

func (m *monitor) look(writeTimeout time.Duration, open func() []*Conn) {
	m.mu.Lock()
	m.runs = false
	m.mu.Unlock()
	now, goOn := time.Now(), false
	silence := max(6*every(writeTimeout), minSilence)
	for _, c := range open() {
		if c.raw == nil {
			continue
		}
		goOn = true
		if c.watch.vanished(c, now, silence) {
			c.s.stop(&closure{reason: closeVanished, err: errVanished})
		}
	}
	if goOn {
		m.start(writeTimeout, open)
	}
}

func (p *peerWatch) vanished(c *Conn, now time.Time, patience time.Duration) bool {
	wrote := c.wrote.Load()
	if wrote == p.clean {
		return false // nothing has been sent since
	}
	state, ok := netpoll.Peer(c.raw)
	switch {
	case !ok: // it has been closed
		return false
	case !state.Outstanding:
		p.clean, p.since = wrote, time.Time{}
		return false
	case p.since.IsZero():
		p.since = now
	case now.Sub(p.since) > state.Quiet: // heard in the meantime
		p.since = now.Add(-state.Quiet)
	}
	return now.Sub(p.since) >= patience
}
