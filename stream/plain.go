package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"weir/stream/internal/fanout"
	"weir/stream/internal/netpoll"
)

// The plain transport: the handler's own goroutine reads its cursor, and writes
// through http.ResponseController. ServeHTTP returns when the stream is over.

// servePlain serves the stream until it is over.
func servePlain(ctx context.Context, s *session, w http.ResponseWriter, protocol int) {
	look := make(chan struct{}, 1)
	wake := func() {
		select {
		case look <- struct{}{}:
		default: // it will look already
		}
	}
	s.wake.Store(&wake)
	out := newPlainWriter(w, or(s.h.WriteTimeout, defaultWriteTimeout), protocol, s.conn.raw)
	out.wait, out.why = &s.conn.wait, &s.why
	s.out = out
	if out.noDeadline {
		s.h.tellNoDeadline(ctx, w)
	}
	timer := time.AfterFunc(s.due(time.Now()), wake)
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { s.stop(s.contextEnd(ctx)) })()
	for {
		fresh := s.member.Wait()
		if s.work() {
			return
		}
		select { // the timer and the context wake by look: two more cases cost HTTP/2 a tenth of its CPU
		case <-fresh:
		case <-look:
			if s.work() {
				return
			}
			timer.Reset(s.due(time.Now()))
		}
	}
}

// maxPiece is how much is written at once. A client that takes a piece within
// the write timeout has made progress.
const maxPiece = 32 << 10

// A plainWriter writes through net/http, for every version of HTTP.
type plainWriter struct {
	patience   // overdue is asked with mu held
	w          http.ResponseWriter
	rc         *http.ResponseController
	http2      bool
	noDeadline bool            // no deadline can be set
	raw        syscall.RawConn // of the connection, which on HTTP/2 several streams share; nil: it cannot be asked
	guard      *time.Timer
	wait       *wait
	untaken    int // bytes of the write that has failed

	mu       sync.Mutex
	writing  bool
	progress time.Time // when the write began, or the guard last saw the client take something
	acked    uint64    // bytes, at the last look
	tripped  bool
	looked   bool // at the connection, since
	over     bool // net/http's writer must not be touched any more
}

func newPlainWriter(w http.ResponseWriter, timeout time.Duration, protocol int, raw syscall.RawConn) *plainWriter {
	o := &plainWriter{w: w, rc: http.NewResponseController(w), patience: patience{timeout: timeout}, http2: protocol >= 2, raw: raw}
	if raw != nil && !o.http2 { // a stream of HTTP/2 shares its connection with others
		_ = raw.Control(func(fd uintptr) { netpoll.LimitUnsent(int(fd), unsentLimit) }) // fails when it is closed
	}
	// http.Server.WriteTimeout is for the whole of an answer, and would end the
	// stream: each write has a deadline of its own.
	o.noDeadline = errors.Is(o.rc.SetWriteDeadline(time.Time{}), http.ErrNotSupported)
	o.guard = time.AfterFunc(time.Hour, o.check)
	o.guard.Stop()
	return o
}

func (o *plainWriter) write(p []byte) error {
	for {
		o.mu.Lock()
		overdue := o.overdue(time.Now())
		o.mu.Unlock()
		o.untaken = len(p)
		if overdue {
			return os.ErrDeadlineExceeded
		}
		piece := p[:min(len(p), maxPiece)]
		if err := o.writePiece(piece); err != nil {
			return err
		}
		if p = p[len(piece):]; len(p) == 0 {
			return nil
		}
	}
}

func (o *plainWriter) batch(b *fanout.Batch, gzip bool) error {
	return o.write(b.Bytes(fanout.Encoding{Gzip: gzip}))
}

func (o *plainWriter) taken(b *fanout.Batch, gzip bool) int {
	enc := fanout.Encoding{Gzip: gzip}
	return b.Whole(enc, len(b.Bytes(enc))-o.untaken)
}

// writePiece writes and flushes. A guard ends the write when the client makes no
// progress: a deadline of the connection would do on HTTP/1, but cannot be told
// of progress, and on HTTP/2 it resets a stream that is idle.
func (o *plainWriter) writePiece(p []byte) error {
	began := time.Now()
	o.mu.Lock()
	o.writing, o.progress = true, began
	o.mu.Unlock()
	o.wait.begin(began)
	o.guard.Reset(nextLook(0, o.timeout, true))
	_, err := o.w.Write(p)
	if err == nil {
		err = o.rc.Flush()
	}
	o.guard.Stop()
	o.wait.end(time.Now())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	switch {
	case o.tripped:
		return errors.Join(os.ErrDeadlineExceeded, err) // HTTP/2 only says that the stream is closed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %v", errForeignDeadline, err)
	case err != nil && o.http2:
		return fmt.Errorf("%w: %w", errGone, err) // likewise
	}
	return err
}

// check is called by the guard: see nextLook. It ends the write when the
// client has acknowledged nothing for one timeout: nothing of the piece, or on
// HTTP/2, where that cannot be seen, not all of it. The guard may come late: the write may be
// over in the meantime, and the handler have returned.
func (o *plainWriter) check() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || !o.writing {
		return
	}
	now := time.Now()
	if o.tripped {
		o.cut()
		return
	}
	if o.raw != nil && !o.http2 {
		// What was acknowledged before the first look has the time of that.
		if state, ok := netpoll.Peer(o.raw); ok && state.Acked != o.acked {
			o.acked, o.progress = state.Acked, now
			o.wait.progress(now)
		}
	}
	if waited := now.Sub(o.progress); waited < o.timeout && !o.overdue(now) {
		o.guard.Reset(nextLook(waited, o.timeout, false))
		return
	}
	o.tripped = true
	o.abandon()
	o.cut()
}

// cut ends the write where net/http cannot end it. Over TLS net/http would say goodbye
// first, and wait five seconds for a client that takes nothing. On HTTP/2 it ends the
// stream by a frame, which does not leave where the whole connection takes nothing: as
// long as that gets something acknowledged it is left alone, for the sake of its other
// streams. The caller holds o.mu.
func (o *plainWriter) cut() {
	if o.raw == nil {
		return
	}
	if o.http2 {
		if state, ok := netpoll.Peer(o.raw); !o.looked || ok && state.Acked != o.acked {
			o.looked, o.acked = true, state.Acked
			o.guard.Reset(nextLook(0, o.timeout, false))
			return
		}
	}
	netpoll.Shut(o.raw)
}

// abandon ends a write that waits, and keeps net/http from taking the
// connection for its next request. The caller holds o.mu.
func (o *plainWriter) abandon() { _ = o.rc.SetWriteDeadline(time.Unix(1, 0)) } // the write fails, or has ended

// close comes before the handler returns. A connection that did not end orderly
// is of no use for another request.
func (o *plainWriter) close(orderly bool) {
	o.guard.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	if !orderly {
		o.abandon()
	}
}

// errForeignDeadline is the end of a write by a deadline that was not set here.
var errForeignDeadline = errors.New("a write deadline that is not the stream's is over, such as http.Server.WriteTimeout")

// tellNoDeadline tells, once for each type of writer, what does not work where no write
// deadline can be set. A writer that no server has made, such as a test's, is let be.
func (h *Handler) tellNoDeadline(ctx context.Context, w http.ResponseWriter) {
	if ctx.Value(http.ServerContextKey) == nil {
		return
	}
	writer := fmt.Sprintf("%T", innermost(w))
	if _, told := h.told.LoadOrStore(writer, true); !told {
		h.logger().WarnContext(ctx, "a middleware's writer lets no write deadline be set: it needs a method Unwrap() http.ResponseWriter. "+
			"Without it http.Server.WriteTimeout ends streams, and a client that takes nothing may never be cut off, nor by Conn.Close or Drain", "writer", writer)
	}
}

var errGone = errors.New("the client has gone")

// isGone reports whether a write failed because the client went away.
func isGone(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, context.Canceled)
}
