package stream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// The direct transport. A plain HTTP/1.1 connection is taken over from
// net/http, and its session runs in a goroutine as on net/http, until it has
// caught up. Then it is parked: it has no goroutine, and a pump, which has one
// cursor for all its sessions, writes each batch to all of them without
// blocking. A session that a pump cannot serve (the client does not take a
// whole write, the log has a gap to tell, the server drains) gets a goroutine
// again. A poller notices when the client of a parked session goes away.

// direct is the connection of a session that was taken over. The goroutine
// that has the session uses it; while it is parked, its pump does.
type direct struct {
	conn    net.Conn
	fd      int    // of conn, which is open until close is called
	key     uint64 // at the poller
	timeout time.Duration
	head    []byte // of the response, until it has been written
	pump    *pump
	slot    int // in the pump's sessions; guarded by the pump

	// What a pump could not write: the rest of a batch's chunk, and the batch.
	rest  []byte
	batch *Batch
	began time.Time
}

// takeOver takes the connection of a request over from net/http, if it can.
func (s *session) takeOver(w http.ResponseWriter, r *http.Request) bool {
	_, tcp := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !tcp || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.TLS != nil || r.ContentLength != 0 || !s.h.pumps.start() {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.h.pumps.leave()
		return false
	}
	_ = buffered // what a client sends after its request is of no concern
	d := &direct{conn: conn, fd: -1, timeout: or(s.h.WriteTimeout, DefaultWriteTimeout), slot: -1}
	d.head = append(d.head, "HTTP/1.1 200 OK\r\nDate: "...)
	d.head = time.Now().UTC().AppendFormat(d.head, http.TimeFormat)
	d.head = append(d.head, "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"...)
	var fields headWriter
	_ = w.Header().Write(&fields) // cannot fail
	d.head = append(append(d.head, fields...), "\r\n"...)
	d.pump = s.h.pumps.of(s.cur, s.gzip != nil, s.h)
	if raw := rawConn(conn); raw != nil {
		_ = raw.Control(func(fd uintptr) { d.fd = int(fd) })
		if s.conn.lookout == nil {
			s.h.watch(s.conn, raw)
		}
	}
	if d.fd >= 0 {
		d.key = s.h.pumps.watch(d.fd, s.conn)
	}
	s.direct, s.out = d, d
	s.taken.Store(true)
	return true
}

type headWriter []byte

func (h *headWriter) Write(p []byte) (int, error) { *h = append(*h, p...); return len(p), nil }

// runDirect runs a session whose connection was taken over, until it ends or
// is parked.
func (s *session) runDirect(first bool) {
	s.finish(func() (CloseReason, error) {
		if first {
			if reason, err := s.greet(); reason != "" {
				return reason, err
			}
		} else if err := s.writeRest(); err != nil {
			return s.failed(err)
		}
		return s.run()
	}, false)
}

// write writes one chunk and waits until it is on its way.
func (d *direct) write(p []byte) error {
	buf := chunkBuffers.Get().(*[]byte)
	*buf = append((*buf)[:0], d.head...)
	*buf = appendChunk(*buf, p)
	err := d.writeAll(*buf)
	if cap(*buf) <= 2*maxBatchBytes {
		chunkBuffers.Put(buf)
	}
	d.head = nil
	return err
}

// writeBatch writes what all connections share, without a copy.
func (d *direct) writeBatch(b *Batch, gzip bool) error { return d.writeAll(b.encoded(gzip, true)) }

var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

func (d *direct) writeAll(p []byte) error {
	if err := d.conn.SetWriteDeadline(time.Now().Add(d.timeout)); err != nil {
		return err
	}
	_, err := d.conn.Write(p)
	return err
}

func (d *direct) abandon() {} // closing does not wait

// writeRest writes what a pump could not.
func (s *session) writeRest() error {
	d := s.direct
	rest, batch := d.rest, d.batch
	if rest == nil {
		return nil
	}
	d.rest, d.batch = nil, nil
	if err := d.writeAll(rest); err != nil {
		return err
	}
	if batch == nil { // it was a ping
		s.wrote(len(rest), time.Now())
		return nil
	}
	s.delivered(batch, new(Flush), d.began, time.Now(), s.cur.Lag())
	return nil
}

// close is called once, by whoever ends the session.
func (d *direct) close(h *Handler, orderly bool) {
	h.pumps.forget(d.key)
	if orderly {
		_ = d.writeAll([]byte(lastChunk))
	}
	_ = d.conn.Close()
	h.pumps.leave()
}

// park hands a session that has caught up to its pump. It fails when the
// session has been told to end, or must be served alone for now.
func (s *session) park() bool {
	p := s.direct.pump
	if s.cur.skip || s.direct.fd < 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	if len(p.sessions) == 0 {
		*p.cur = Cursor{log: s.cur.log, next: s.cur.next, last: s.cur.last, epoch: s.cur.epoch, opened: s.cur.next, since: s.cur.last, lane: s.cur.lane}
	} else if s.cur.next < p.cur.next || s.cur.epoch != p.cur.epoch {
		return false // there is more to read already
	}
	s.direct.slot = len(p.sessions)
	p.sessions = append(p.sessions, s)
	if !p.running {
		p.running = true
		go p.run()
	}
	return true
}

// wake gives a parked session a goroutine again.
func (s *session) wake() {
	p := s.direct.pump
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.direct.slot >= 0 {
		p.release(s)
	}
}

// isGone reports whether a write failed because the client went away.
func isGone(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}
