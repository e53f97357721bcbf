package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// A session is the server's side of one connection: a cursor, and where its
// batches are written. One goroutine at a time has it, or, while it is parked,
// its pump.
type session struct {
	h         *Handler
	conn      *Conn
	cur       *Cursor
	hooks     ConnHooks
	ctx       context.Context
	cancel    context.CancelCauseFunc // of ctx alone: see stop
	release   func()
	malformed bool
	out       writer
	lifetime  *time.Timer
	gzip      *gzipped    // nil: not compressed
	direct    *direct     // nil on net/http
	taken     atomic.Bool // direct is set; for who may not look at it
}

// serve runs the session, over net/http until it ends, or until the connection
// has been taken over from it.
func (s *session) serve(w http.ResponseWriter, r *http.Request) {
	began := false
	defer func() {
		if began {
			return // finish has seen to it, and a panic goes on
		}
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
	if s.h.Transport != TransportNetHTTP && s.takeOver(w, r) {
		began = true
		s.runDirect(true)
		return
	}
	w.WriteHeader(http.StatusOK)
	s.out = &responseWriter{
		w: w, rc: http.NewResponseController(w), timeout: or(s.h.WriteTimeout, DefaultWriteTimeout), keep: r.ProtoMajor == 1,
	}
	began = true
	stop := context.AfterFunc(r.Context(), func() { s.cancel(errGone) })
	defer stop()
	s.finish(func() (CloseReason, error) {
		var reason CloseReason
		var err error
		onOtherStack(func() { reason, err = s.greet() })
		if reason == "" {
			reason, err = s.run()
		}
		return reason, err
	}, true)
}

// onOtherStack runs f in a goroutine of its own and waits for it. The stack
// that f needs is then not kept by a goroutine that waits for hours. A panic of
// f goes on in the caller.
func onOtherStack(f func()) {
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		f()
	}()
	if p := <-panicked; p != nil {
		panic(p)
	}
}

// finish runs the last part of a session and ends it. A panic ends this
// connection alone, and goes on to net/http where that is the caller.
func (s *session) finish(run func() (CloseReason, error), repanic bool) {
	defer func() {
		if p := recover(); p != nil {
			s.end(ClosePanic, fmt.Errorf("panic: %v", p))
			if repanic {
				panic(p)
			}
			s.h.logger().Error("panic in a stream", "connection", s.conn.ID, "panic", p)
		}
	}()
	if reason, err := run(); reason != parked {
		s.end(reason, err)
	}
}

// parked is what run returns when a pump has the session now.
const parked CloseReason = "parked"

// stop ends the session soon, whoever has it. It may be called by any
// goroutine, but not while a pump is locked.
func (s *session) stop(cause error) {
	s.cancel(cause)
	if s.taken.Load() {
		s.wake()
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
	if err := s.send(s.hello(time.Now())); err != nil {
		return s.failed(err)
	}
	if s.hooks.Open != nil {
		s.hooks.Open(time.Now())
	}
	if life := s.h.Lifetime; life > 0 {
		s.lifetime = time.AfterFunc(time.Duration((0.9+rand.Float64()/5)*float64(life)), func() { s.conn.cancel(errLifetime) })
	}
	return "", nil
}

// run writes until something ends the stream, or a pump takes the session.
func (s *session) run() (CloseReason, error) {
	heartbeat := or(s.h.Heartbeat, DefaultHeartbeat)
	var pulse *time.Timer
	var flush Flush // what the hook is given, each time anew
	for {
		batch, wake, err := s.cur.read()
		s.conn.next.Store(s.cur.next)
		switch {
		case batch != nil:
			err = s.sendBatch(batch, &flush)
		case err != nil:
			var done bool
			if done, err = s.tell(err); done && err == nil {
				return CloseEnded, nil
			}
		}
		if err != nil {
			return s.failed(err)
		}
		if wake == nil {
			if s.ctx.Err() == nil {
				continue
			}
			return s.stopped()
		}
		if s.direct != nil && s.park() {
			return parked, nil
		}
		if pulse == nil {
			pulse = time.NewTimer(heartbeat - time.Since(s.conn.LastWrite()))
			defer pulse.Stop()
		}
		select {
		case <-wake:
		case <-s.ctx.Done():
			return s.stopped()
		case <-pulse.C:
			// Events do not touch the timer: it finds out by itself whether
			// the connection has been quiet.
			quiet := time.Since(s.conn.LastWrite())
			if quiet >= heartbeat {
				if err := s.ping(); err != nil {
					return s.failed(err)
				}
				quiet = 0
			}
			pulse.Reset(heartbeat - quiet)
		}
	}
}

// tell writes what the cursor has found instead of entries: a gap, or the end,
// after which the session is done.
func (s *session) tell(found error) (done bool, err error) {
	var gap *Gap
	if errors.As(found, &gap) {
		return false, s.sendGap(gap)
	}
	var ended *Ended
	if errors.As(found, &ended) {
		return true, s.send(Message{Event: "close", Data: reasonJSON(ended.Reason)}.AppendTo(nil))
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
	if s.hooks.Flush != nil && b.tagged {
		began = time.Now()
	}
	if err := s.out.writeBatch(b, s.gzip != nil); err != nil {
		return err
	}
	var lag uint64
	if s.hooks.Flush != nil {
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
	if s.hooks.Flush != nil {
		*f = Flush{Batch: b, Replayed: b.replayed(s.cur.since), Bytes: bytes, Began: began, Ended: ended, Lag: lag}
		s.hooks.Flush(f)
	}
}

func (s *session) sendGap(g *Gap) error {
	data, _ := json.Marshal(struct {
		From   string `json:"from"`
		To     string `json:"to"`
		Reason string `json:"reason"`
	}{g.From.String(), g.To.String(), g.Reason}) // cannot fail
	if err := s.send(Message{Event: "gap", Data: data}.AppendTo(nil)); err != nil {
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
	return Message{Event: "ping", Data: data}.AppendTo(nil)
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
	case isGone(err), errors.Is(context.Cause(s.ctx), errGone):
		return CloseClient, nil
	default:
		return CloseError, err
	}
}

// stopped says why the context is done, and takes leave where the server ends
// the stream: the client shall come back, but not all of them at once.
func (s *session) stopped() (CloseReason, error) {
	var reason CloseReason
	switch cause := context.Cause(s.ctx); {
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
	if err := s.send(Message{Retry: retry}.AppendTo(nil)); err != nil {
		return s.failed(err)
	}
	return reason, nil
}

// end is called once, when the connection is over.
func (s *session) end(reason CloseReason, err error) {
	s.cancel(errGone)
	if s.lifetime != nil {
		s.lifetime.Stop()
	}
	orderly := reason == CloseEnded || reason == CloseDrain || reason == CloseLifetime
	if s.gzip != nil && orderly && s.out != nil {
		_ = s.out.write(s.gzip.end())
	}
	if s.direct != nil {
		s.direct.close(s.h, orderly)
	}
	if s.release != nil {
		s.release() // before it is no longer counted: who sees that it is gone finds its place free
	}
	s.cur.log.part(s.cur.lane)
	s.h.leave(s.conn, reason)
	if s.hooks.Disconnect != nil {
		s.hooks.Disconnect(reason, err)
	}
}
