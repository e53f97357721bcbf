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
// net/http, and written to without it: by a goroutine until the session has
// caught up, then by its pump, which writes each batch to all that are parked
// there, without blocking. A poller notices when the client of a parked session
// goes away.

// direct is the connection of a session that was taken over. The goroutine
// that has the session uses it; while it is parked, its pump does.
type direct struct {
	conn    net.Conn
	timeout time.Duration
	head    []byte // of the response, until it has been written

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
		s.h.pumps.leave(0)
		return false
	}
	_ = buffered // what a client sends after its request is of no concern
	d := &direct{conn: conn, timeout: or(s.h.WriteTimeout, DefaultWriteTimeout)}
	d.head = append(d.head, "HTTP/1.1 200 OK\r\nDate: "...)
	d.head = time.Now().UTC().AppendFormat(d.head, http.TimeFormat)
	d.head = append(d.head, "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"...)
	var fields headWriter
	_ = w.Header().Write(&fields) // cannot fail
	d.head = append(append(d.head, fields...), "\r\n"...)
	if raw := rawConn(conn); raw != nil {
		_ = raw.Control(func(fd uintptr) { s.fd = int(fd) })
		if s.conn.lookout == nil {
			s.h.watch(&s.conn, raw)
		}
	}
	if s.fd >= 0 {
		s.key, _ = s.h.pumps.watch(s.fd, &s.conn) // else the next write will tell
	}
	s.direct, s.out = d, d
	return true
}

type headWriter []byte

func (h *headWriter) Write(p []byte) (int, error) { *h = append(*h, p...); return len(p), nil }

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

func (d *direct) close(orderly bool) {
	if orderly {
		_ = d.writeAll([]byte(lastChunk))
	}
	_ = d.conn.Close()
}

// isGone reports whether a write failed because the client went away.
func isGone(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}
