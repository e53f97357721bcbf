package stream

import (
	"errors"
	"sync"
	"time"

	"weir/stream/internal/netpoll"
)

// The peer monitor. A client may vanish without a word: its battery is empty, or
// a router on the way has forgotten the connection. What is written to it goes
// into the socket's buffer and no write fails, until TCP gives up a quarter of
// an hour later. So the handler asks the system, where that can tell (Linux),
// whether what was sent has been acknowledged.

var errVanished = errors.New("the client acknowledges nothing any more")

// A peerWatch is what the monitor remembers of a connection.
type peerWatch struct {
	clean int64     // Conn.wrote when everything was last acknowledged
	since time.Time // when the silence began; zero if there is none
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

// every is how often the monitor looks. This and the silence together stay below
// the write timeout, if that is 2 s or more.
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
