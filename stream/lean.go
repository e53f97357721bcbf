package stream

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"weir/stream/internal/fanout"
	"weir/stream/internal/netpoll"
)

// The lean transport, on Linux. A plain HTTP/1.1 connection is taken over from
// net/http, and ServeHTTP returns. While there is something for the client that
// may have to wait (the greeting, a gap, what the socket did not take at once) a
// goroutine of its own writes it. When the client has caught up, the session is
// parked: it has no goroutine, and its shard writes each batch to all that are
// parked there.
//
// Gain: an idle stream holds 3 kB in place of 27, and a batch for a thousand
// streams costs a thousand system calls and little else ("weir bench -c 3000",
// "make bench").
// Relies on: Hijack handing over the very connection that the listener accepted.
// Guarded by: the conformance suite, which runs on both transports, and
// TestLeanLeavesWrappedConnectionsAlone.

// A leanWriter is the connection of a session that was taken over.
type leanWriter struct {
	patience
	conn net.Conn
	wait *wait
	head []byte // of the response, until it has been written

	left    *leftover
	untaken int // bytes of the write that has failed
}

// A leftover is what the shard's writer could not write of a batch.
type leftover struct {
	batch *fanout.Batch
	rest  []byte
	began time.Time
}

// responseHead is the status line and the header, as net/http would write them.
func responseHead(header http.Header) []byte {
	head := append([]byte(nil), "HTTP/1.1 200 OK\r\nDate: "...)
	head = time.Now().UTC().AppendFormat(head, http.TimeFormat)
	head = append(head, "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"...)
	var fields headWriter
	_ = header.Write(&fields) // to memory: cannot fail
	return append(append(head, fields...), "\r\n"...)
}

type headWriter []byte

func (h *headWriter) Write(p []byte) (int, error) { *h = append(*h, p...); return len(p), nil }

// A leanSession is a session that may be taken over, and what only then is needed. It
// implements [fanout.Conn].
type leanSession struct {
	session
	out   leanWriter
	timer *time.Timer // wakes the session for its next ping, or its end
	err   error       // of the shard's write
}

// takeOver takes the connection of a request over from net/http, if it can.
func (l *leanSession) takeOver(w http.ResponseWriter, r *http.Request) bool {
	held, ok := r.Context().Value(connKey{}).(heldConn)
	if !ok || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.TLS != nil || r.ContentLength != 0 || held.fd < 0 {
		return false
	}
	for _, name := range []string{"Content-Encoding", "Trailer", "Transfer-Encoding", "Content-Length"} {
		if w.Header().Get(name) != "" && (name != "Content-Encoding" || l.gzip == nil) {
			return false // a middleware wants to write the body itself
		}
	}
	if !l.h.hangUps.start() {
		return false
	}
	conn, _, err := http.NewResponseController(w).Hijack() // what a client sends after its request is of no concern
	if err != nil {
		l.h.hangUps.leave(0)
		return false
	}
	l.out = leanWriter{
		conn: conn, patience: patience{timeout: or(l.h.WriteTimeout, defaultWriteTimeout), why: &l.why}, wait: &l.conn.wait, head: responseHead(w.Header()),
	}
	l.session.out = &l.out
	l.member.FD, l.member.Conn = held.fd, l
	netpoll.LimitUnsent(held.fd, unsentLimit)
	l.h.hangUps.watch(held.fd, &l.session)
	wake := func() { go l.member.Wake() } // a hook may stop the session while the shard's lock is held
	l.wake.Store(&wake)
	go l.member.Conn.Attend()
	return true
}

// Attend has the session, in a goroutine of its own, until it is over or parked.
// A panic ends this connection alone.
func (l *leanSession) Attend() {
	defer func() {
		if p := recover(); p != nil {
			l.h.logger().Error("panic in a stream", "connection", l.conn.ID, "panic", p, "stack", string(debug.Stack()))
			l.panicked(p)
			l.release()
		}
	}()
	for {
		if l.workLean() {
			l.release()
			return
		}
		if wait := l.due(time.Now()); l.timer == nil {
			l.timer = time.AfterFunc(wait, l.member.Wake)
		} else {
			l.timer.Reset(wait)
		}
		if l.member.Park() {
			return // from here on the session is the shard's
		}
	}
}

// release gives back what only a lean session has.
func (l *leanSession) release() {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.h.hangUps.leave(l.hangUpKey)
}

// workLean is work, after what the shard's writer has left.
func (l *leanSession) workLean() (over bool) {
	err := l.err
	if l.err = nil; err == nil && l.out.left != nil {
		left := l.out.left
		l.out.left = nil
		if err = l.out.writeAll(left.rest); err == nil {
			l.wrote(&item{kind: itemBatch, batch: left.batch}, left.began, time.Now(), l.member.Lag())
			l.conn.writing.Store(0)
		} else {
			l.wrotePart(left.batch, left.began)
		}
	}
	if err != nil {
		l.end(l.failed(err))
		return true
	}
	return l.work()
}

// Wrote implements [fanout.Conn]. A panic of a hook ends this connection alone:
// the shard's writer serves others.
func (l *leanSession) Wrote(b *fanout.Batch, began, ended time.Time, lag uint64) (good bool) {
	defer func() {
		if p := recover(); p != nil {
			l.h.logger().Error("panic in a stream", "connection", l.conn.ID, "panic", p, "stack", string(debug.Stack()))
			l.why.CompareAndSwap(nil, &closure{reason: ClosePanic, err: fmt.Errorf("panic: %v", p)})
			good = false
		}
	}()
	l.wrote(&item{kind: itemBatch, batch: b}, began, ended, lag)
	return true
}

// Rest implements [fanout.Conn].
func (l *leanSession) Rest(b *fanout.Batch, rest []byte, began time.Time) {
	l.conn.writing.Store(int64(b.Events))
	l.out.left = &leftover{batch: b, rest: rest, began: began}
}

// Failed implements [fanout.Conn].
func (l *leanSession) Failed(err error) { l.err = err }

// write writes one chunk.
func (d *leanWriter) write(p []byte) error {
	buf := chunkBuffers.Get().(*[]byte)
	*buf = append((*buf)[:0], d.head...)
	*buf = fanout.AppendChunk(*buf, p)
	err := d.writeAll(*buf)
	if cap(*buf) <= 2*fanout.MaxBatchBytes {
		chunkBuffers.Put(buf)
	}
	d.head = nil
	return err
}

var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// batch writes what all connections share, without a copy.
func (d *leanWriter) batch(b *fanout.Batch, gzip bool) error {
	return d.writeAll(b.Bytes(fanout.Encoding{Gzip: gzip, Chunked: true}))
}

func (d *leanWriter) taken(b *fanout.Batch, gzip bool) int {
	enc := fanout.Encoding{Gzip: gzip, Chunked: true}
	return b.Whole(enc, len(b.Bytes(enc))-d.untaken)
}

// writeAll waits for the client for as long as it makes progress: takes or
// acknowledges something within the timeout. A session that is to end waits no
// longer than a timeout.
func (d *leanWriter) writeAll(p []byte) error {
	began := time.Now()
	d.wait.begin(began)
	defer func() { d.wait.end(time.Now()) }()
	raw := netpoll.Raw(d.conn)
	state, _ := netpoll.Peer(raw)
	progress := began // when the client was last seen to take something
	for now, first := began, true; ; first = false {
		if err := d.conn.SetWriteDeadline(now.Add(nextLook(now.Sub(progress), d.timeout, first))); err != nil {
			return err
		}
		n, err := d.conn.Write(p)
		if p = p[n:]; err == nil {
			return nil
		}
		d.untaken = len(p)
		if !os.IsTimeout(err) {
			return err
		}
		now = time.Now()
		before := state.Acked
		if state, _ = netpoll.Peer(raw); n > 0 || state.Acked != before {
			progress = now
			d.wait.progress(now)
		}
		if now.Sub(progress) >= d.timeout || d.overdue(now) {
			return err
		}
	}
}

func (d *leanWriter) close(orderly bool) {
	if orderly {
		_ = d.writeAll([]byte(fanout.LastChunk)) // the stream is over in any case
	}
	_ = d.conn.Close() // nothing is left to write
}
