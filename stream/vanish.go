package stream

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// A client may vanish without a word: its battery is empty, or a router on the
// way has forgotten the connection. What is written to it goes into the
// socket's buffer and no write fails, until TCP gives up a quarter of an hour
// later. So the handler asks the system, where that can tell (Linux), whether
// what was sent has been acknowledged.

var errVanished = errors.New("the client acknowledges nothing any more")

type connKey struct{}

// ConnContext is for [http.Server.ConnContext]. With it a [Handler] notices
// clients that vanish without a word also on HTTP/2, on TLS and with
// TransportNetHTTP.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = t.NetConn()
	}
	if _, ok := c.(syscall.Conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

func rawConn(c net.Conn) syscall.RawConn {
	if socket, ok := c.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// A lookout watches whether one client acknowledges. All but raw belongs to
// Handler.look.
type lookout struct {
	raw   syscall.RawConn
	clean int64     // Conn.wrote when nothing was outstanding
	since time.Time // something has been outstanding, and nothing heard; zero if not
}

// watch looks after a connection until it has left.
func (h *Handler) watch(c *Conn, raw syscall.RawConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.lookout = &lookout{raw: raw}
	if !h.looking {
		h.looking = true
		time.AfterFunc(h.lookEvery(), h.look)
	}
}

// lookEvery is how often; so often that with silence a client is found to have
// vanished before the write timeout is over, counted from the first write that
// it has not acknowledged.
func (h *Handler) lookEvery() time.Duration {
	return max(or(h.WriteTimeout, DefaultWriteTimeout), minSilence) / 8
}

// silence is how long it may take to acknowledge.
func (h *Handler) silence() time.Duration { return max(6*h.lookEvery(), minSilence) }

// minSilence is what silence is at least: an acknowledgement may be delayed by
// design (RFC 9293, section 3.8.6.3), and a lost packet takes its time.
const minSilence = 2 * time.Second

func (h *Handler) look() {
	h.mu.Lock()
	var all []*Conn
	for _, c := range h.conns {
		if c.lookout != nil {
			all = append(all, c)
		}
	}
	h.looking = len(all) > 0
	h.mu.Unlock()
	if len(all) == 0 {
		return
	}
	now := time.Now()
	for _, c := range all {
		if c.lookout.vanished(c.wrote.Load(), now, h.silence()) {
			c.cancel(errVanished)
		}
	}
	time.AfterFunc(h.lookEvery(), h.look)
}

func (o *lookout) vanished(wrote int64, now time.Time, patience time.Duration) bool {
	if wrote == o.clean {
		return false // nothing has been sent since
	}
	outstanding, quiet, ok := unacknowledged(o.raw)
	switch {
	case !ok: // it has been closed
		return false
	case !outstanding:
		o.clean, o.since = wrote, time.Time{}
		return false
	case o.since.IsZero():
		o.since = now
	case now.Sub(o.since) > quiet: // heard in the meantime
		o.since = now.Add(-quiet)
	}
	return now.Sub(o.since) >= patience
}
