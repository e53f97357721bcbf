package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream/sse"
)

// A session is the server's side of one connection: a cursor, and where its
// batches are written. While there is something to write one goroutine has it;
// else it is parked at its pump, and has none.
type session struct {
	h         *Handler
	why       atomic.Pointer[error] // it is to end; nil: it is not
	release   func()
	malformed bool
	ended     bool
	out       writer
	lifetime  *time.Timer
	direct    *direct // nil on net/http

	// What a delivery needs is side by side, from cur.next to conn.Started: of
	// thousands of sessions none is in the processor's cache, which reads these
	// 128 bytes at once.
	cur   Cursor
	fd    int      // of direct's connection, which is open until it is closed; or -1
	gzip  *gzipped // nil: not compressed
	flush func(*Flush)
	conn  Conn

	hooks ConnHooks
	pump  atomic.Pointer[pump] // nil until the session begins to write
	slot  int                  // in the pump's sessions, -1 for none; guarded by the pump
	over  chan any             // on net/http: gets what the session panicked with, or nil

	resting rester   // the connection that net/http's reader was sent away from, or nil
	key     uint64   // of the connection at the poller, which watches those that were taken over and those that rest
	_       [16]byte // 512 in all: an object of that size begins at a multiple of it
}

// begin begins to write over net/http, or takes the connection over from it.
func (s *session) begin(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.end(ClosePanic, fmt.Errorf("panic: %v", p))
			panic(p)
		}
	}()
	setHeader(w.Header())
	if s.h.Compress {
		w.Header().Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header) {
			w.Header().Set("Content-Encoding", "gzip")
			s.gzip = new(gzipped)
		}
	}
	lean := s.h.Transport != TransportNetHTTP && s.takeOver(w, r)
	if !lean {
		w.WriteHeader(http.StatusOK)
		s.out = &responseWriter{
			w: w, rc: http.NewResponseController(w), timeout: or(s.h.WriteTimeout, DefaultWriteTimeout), keep: r.ProtoMajor == 1,
		}
		s.over = make(chan any, 1)
		s.rest(r)
	}
	s.pump.Store(s.h.pumps.of(&s.cur, s.gzip != nil, lean, s.h))
	if !lean {
		go s.attend(true)
	}
}

// wait returns when a session on net/http is over, which it is soon when the
// client has gone. A panic of the session goes on.
func (s *session) wait(client context.Context) {
	var panicked any
	select {
	case panicked = <-s.over:
	case <-client.Done():
		s.stop(errGone)
		panicked = <-s.over
	}
	if panicked != nil {
		panic(panicked)
	}
}

// attend has the session until it is over or parked; it is not to be touched
// after that. A panic ends this connection alone.
func (s *session) attend(first bool) {
	defer func() {
		if p := recover(); p != nil {
			s.end(ClosePanic, fmt.Errorf("panic: %v", p))
			if s.over != nil {
				s.over <- p
			} else {
				s.h.logger().Error("panic in a stream", "connection", s.conn.ID, "panic", p)
			}
		}
	}()
	reason, err := s.run(first)
	if reason == parked {
		return
	}
	s.end(reason, err)
	if s.over != nil {
		s.over <- nil
	}
}

// parked is what run returns when a pump has the session now.
const parked CloseReason = "parked"

// cancel has the session end when somebody next looks at it. The first cause
// counts. It may be called by any goroutine.
func (s *session) cancel(cause error) { s.why.CompareAndSwap(nil, &cause) }

// cause returns why the session is to end, or nil.
func (s *session) cause() error {
	if why := s.why.Load(); why != nil {
		return *why
	}
	return nil
}

// stop ends the session soon, whoever has it. It may be called by any
// goroutine, but not while a pump is locked.
func (s *session) stop(cause error) {
	s.cancel(cause)
	if p := s.pump.Load(); p != nil {
		p.wake(s)
	}
}

// finished reports whether the topic has ended and this client, who has been
// here before, has all of it.
func (s *session) finished() bool {
	if !s.conn.Resumed || s.cur.log.Ended() == "" {
		return false
	}
	return s.cur.Lag() == 0
}

// greet says hello. The reason is empty unless the stream has ended by it.
func (s *session) greet() (CloseReason, error) {
	hello := chunkBuffers.Get().(*[]byte)
	*hello = s.appendHello((*hello)[:0], time.Now())
	err := s.send(*hello)
	chunkBuffers.Put(hello)
	if err != nil {
		return s.failed(err)
	}
	s.hooks.Traceparent = "" // has been told
	if s.hooks.Open != nil {
		s.hooks.Open(time.Now())
	}
	if life := s.h.Lifetime; life > 0 {
		s.lifetime = time.AfterFunc(time.Duration((0.9+rand.Float64()/5)*float64(life)), func() { s.conn.cancel(errLifetime) })
	}
	return "", nil
}

// run writes until something ends the stream, or there is nothing to write.
func (s *session) run(first bool) (CloseReason, error) {
	if first {
		if reason, err := s.greet(); reason != "" {
			return reason, err
		}
	} else if s.direct != nil {
		if err := s.writeRest(); err != nil {
			return s.failed(err)
		}
	}
	flush := flushes.Get().(*Flush)
	defer flushes.Put(flush)
	for {
		batch, _, err := s.cur.read()
		s.conn.next.Store(s.cur.next)
		idle := batch == nil && err == nil
		switch {
		case batch != nil:
			err = s.sendBatch(batch, flush)
		case err != nil:
			var done bool
			if done, err = s.tell(err); done && err == nil {
				return CloseEnded, nil
			}
		case s.cause() == nil && time.Since(s.conn.LastWrite()) >= or(s.h.Heartbeat, DefaultHeartbeat):
			err = s.ping()
		}
		switch {
		case err != nil:
			return s.failed(err)
		case s.cause() != nil:
			return s.stopped()
		case idle && s.pump.Load().park(s):
			return parked, nil
		}
	}
}

// flushes are what hooks are given, each time anew.
var flushes = sync.Pool{New: func() any { return new(Flush) }}

// tell writes what the cursor has found instead of entries: a gap, or the end,
// after which the session is done.
func (s *session) tell(found error) (done bool, err error) {
	var gap *Gap
	if errors.As(found, &gap) {
		return false, s.sendGap(gap)
	}
	var ended *Ended
	if errors.As(found, &ended) {
		return true, s.send(sse.Message{Event: "close", Data: reasonJSON(ended.Reason)}.AppendTo(nil))
	}
	return false, found
}

// send writes what is not an event of the log.
func (s *session) send(p []byte) error {
	if s.gzip != nil {
		p = s.gzip.encode(p)
	}
	if err := s.out.write(p); err != nil {
		return err
	}
	s.wrote(len(p), time.Now())
	return nil
}

func (s *session) wrote(bytes int, now time.Time) {
	s.conn.bytes.Add(int64(bytes))
	s.conn.wrote.Store(int64(now.Sub(s.conn.Started)))
}

func (s *session) sendBatch(b *Batch, f *Flush) error {
	var began time.Time
	if s.flush != nil && b.Tagged != nil {
		began = time.Now()
	}
	if err := s.out.writeBatch(b, s.gzip != nil); err != nil {
		return err
	}
	var lag uint64
	if s.flush != nil {
		lag = s.cur.Lag()
	}
	s.delivered(b, f, began, time.Now(), lag)
	return nil
}

// delivered counts a batch that has been flushed.
func (s *session) delivered(b *Batch, f *Flush, began, ended time.Time, lag uint64) {
	bytes := len(b.Wire)
	if s.gzip != nil {
		s.gzip.add(b.Wire)
		bytes = len(b.encoded(true, false))
	}
	s.wrote(bytes, ended)
	s.conn.events.Add(int64(b.Events))
	if s.flush != nil {
		*f = Flush{Batch: b, Lane: s.cur.lane.index, Since: s.cur.since, Replayed: b.replayed(s.cur.since), Bytes: bytes, Began: began, Ended: ended, Lag: lag}
		s.flush(f)
	}
}

func (s *session) sendGap(g *Gap) error {
	data, _ := json.Marshal(struct {
		From   string `json:"from"`
		To     string `json:"to"`
		Reason string `json:"reason"`
	}{g.From.String(), g.To.String(), g.Reason}) // cannot fail
	if err := s.send(sse.Message{Event: "gap", Data: data}.AppendTo(nil)); err != nil {
		return err
	}
	s.conn.errors.Add(1)
	if s.hooks.Gap != nil {
		s.hooks.Gap(g, time.Now())
	}
	return nil
}

func (s *session) ping() error {
	now := time.Now()
	if err := s.send(pingMessage(now)); err != nil {
		return err
	}
	if s.hooks.Heartbeat != nil {
		s.hooks.Heartbeat(now)
	}
	return nil
}

func pingMessage(now time.Time) []byte {
	data := append([]byte(nil), `{"time":"`...)
	data = now.UTC().AppendFormat(data, "2006-01-02T15:04:05.000Z07:00")
	data = append(data, `"}`...)
	return sse.Message{Event: "ping", Data: data}.AppendTo(nil)
}

func reasonJSON(reason string) []byte {
	data, _ := json.Marshal(struct {
		Reason string `json:"reason"`
	}{reason}) // cannot fail
	return data
}

// failed says what a failed write means.
func (s *session) failed(err error) (CloseReason, error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return CloseSlow, err
	case isGone(err), errors.Is(s.cause(), errGone):
		return CloseClient, nil
	default:
		return CloseError, err
	}
}

// stopped says why the session is to end, and takes leave where the server ends
// the stream: the client shall come back, but not all of them at once.
func (s *session) stopped() (CloseReason, error) {
	var reason CloseReason
	switch cause := s.cause(); {
	case errors.Is(cause, errDrain):
		reason = CloseDrain
	case errors.Is(cause, errLifetime):
		reason = CloseLifetime
	case errors.Is(cause, errVanished):
		s.out.abandon()
		return CloseSlow, cause
	case errors.Is(cause, errPanic):
		return ClosePanic, cause
	default:
		return CloseClient, nil
	}
	retry := time.Duration((0.5 + rand.Float64()) * float64(or(s.h.Retry, DefaultRetry)))
	if err := s.send(sse.Message{Retry: retry}.AppendTo(nil)); err != nil {
		return s.failed(err)
	}
	return reason, nil
}

// end is called once, when the connection is over.
func (s *session) end(reason CloseReason, err error) {
	if s.ended {
		return // and the hook for it has panicked
	}
	s.ended = true
	s.cancel(errGone)
	if s.lifetime != nil {
		s.lifetime.Stop()
	}
	orderly := reason == CloseEnded || reason == CloseDrain || reason == CloseLifetime
	if s.gzip != nil && orderly && s.out != nil {
		_ = s.out.write(s.gzip.end())
	}
	if s.out != nil {
		s.out.close(orderly)
	}
	s.resume()
	if s.direct != nil || s.resting != nil {
		s.h.pumps.leave(s.key)
	}
	if s.release != nil {
		s.release() // before it is no longer counted: who sees that it is gone finds its place free
	}
	s.cur.log.part(s.cur.lane)
	s.h.leave(&s.conn, reason)
	if s.hooks.Disconnect != nil {
		s.hooks.Disconnect(reason, err)
	}
}
