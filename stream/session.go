package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"syscall"
	"time"
)

// A session is the server's side of one connection: a cursor, and where its
// batches are written. One goroutine at a time has it.
type session struct {
	h         *Handler
	conn      *Conn
	cur       *Cursor
	hooks     ConnHooks
	ctx       context.Context
	release   func()
	malformed bool
	out       writer
}

// A writer puts bytes on the way to the client before it returns, or fails
// when the client does not take them before the deadline.
type writer interface {
	write(p []byte) error
}

// responseWriter writes through net/http, for every version of HTTP.
type responseWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
}

// write sets the deadline for this write alone: a deadline that is left over
// would reset an idle stream on HTTP/2.
func (o *responseWriter) write(p []byte) error {
	began := time.Now()
	deadline := o.rc.SetWriteDeadline(began.Add(o.timeout))
	_, err := o.w.Write(p)
	if err == nil {
		err = o.rc.Flush()
	}
	if err != nil && time.Since(began) >= o.timeout {
		// HTTP/2 only says that the stream is closed.
		return fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	}
	if err != nil || deadline != nil {
		return err
	}
	return o.rc.SetWriteDeadline(time.Time{})
}

// serve runs the session over net/http.
func (s *session) serve(w http.ResponseWriter, r *http.Request) {
	reason, err := ClosePanic, error(nil)
	defer func() {
		if p := recover(); p != nil {
			s.end(ClosePanic, fmt.Errorf("panic: %v", p))
			panic(p)
		}
		s.end(reason, err)
	}()
	rc := http.NewResponseController(w)
	setHeader(w.Header())
	w.WriteHeader(http.StatusOK)
	s.out = &responseWriter{w: w, rc: rc, timeout: or(s.h.WriteTimeout, DefaultWriteTimeout)}
	reason, err = s.run()
}

// finished reports whether the topic has ended and this client, who has been
// here before, has all of it.
func (s *session) finished() bool {
	if !s.conn.Resumed || s.cur.log.Ended() == "" {
		return false
	}
	return s.cur.Lag() == 0
}

// run writes until something ends the stream.
func (s *session) run() (CloseReason, error) {
	now := time.Now()
	if err := s.send(s.hello(now)); err != nil {
		return s.failed(err)
	}
	if s.hooks.Open != nil {
		s.hooks.Open(time.Now())
	}
	heartbeat := or(s.h.Heartbeat, DefaultHeartbeat)
	pulse := time.NewTimer(heartbeat)
	defer pulse.Stop()
	if life := s.h.Lifetime; life > 0 {
		end := time.AfterFunc(time.Duration((0.9+rand.Float64()/5)*float64(life)), func() { s.conn.cancel(errLifetime) })
		defer end.Stop()
	}
	for {
		batch, wake, err := s.cur.read()
		s.conn.next.Store(s.cur.next)
		switch gap, ended := (*Gap)(nil), (*Ended)(nil); {
		case errors.As(err, &gap):
			err = s.sendGap(gap)
		case errors.As(err, &ended):
			if err := s.send(Message{Event: "close", Data: reasonJSON(ended.Reason)}.AppendTo(nil)); err != nil {
				return s.failed(err)
			}
			return CloseEnded, nil
		case batch != nil:
			err = s.sendBatch(batch)
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

// send writes what is not an event of the log.
func (s *session) send(p []byte) error {
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

func (s *session) sendBatch(b *Batch) error {
	f := Flush{Batch: b, Bytes: len(b.Wire), Replayed: b.replayed(s.cur.since)}
	if s.hooks.Flush != nil && b.tagged {
		f.Began = time.Now()
	}
	if err := s.out.write(b.Wire); err != nil {
		return err
	}
	f.Ended = time.Now()
	s.wrote(f.Bytes, f.Ended)
	s.conn.events.Add(int64(b.Events))
	if s.hooks.Flush != nil {
		f.Lag = s.cur.Lag()
		s.hooks.Flush(&f)
	}
	return nil
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
	data := append([]byte(nil), `{"time":"`...)
	data = now.UTC().AppendFormat(data, "2006-01-02T15:04:05.000Z07:00")
	data = append(data, `"}`...)
	if err := s.send(Message{Event: "ping", Data: data}.AppendTo(nil)); err != nil {
		return err
	}
	if s.hooks.Heartbeat != nil {
		s.hooks.Heartbeat(now)
	}
	return nil
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
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrClosedPipe),
		errors.Is(context.Cause(s.ctx), context.Canceled):
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
	s.conn.cancel(errGone)
	s.h.leave(s.conn, reason)
	if s.hooks.Disconnect != nil {
		s.hooks.Disconnect(reason, err)
	}
	if s.release != nil {
		s.release()
	}
}
