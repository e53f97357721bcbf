package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/stream/eventlog"
	"weir/stream/internal/fanout"
)

// A session is the server's side of one connection: what is written to the
// client, in which order, and how that is counted. One goroutine has it at a
// time: on the plain transport the handler's; on the lean one a goroutine of the
// session's own while there is something that may have to wait, and the shard's
// writer otherwise.
//
// What every delivery touches comes first: the member, and the first fields of hooks
// and conn. Between two deliveries to a connection there are a thousand system calls, so each
// line of the cache that a delivery touches has to be fetched ("weir bench" at 1,000 × 1,000/s:
// about a hundredth of the CPU, by perf). Nothing relies on the order.
type session struct {
	member fanout.Member // has the cursor, which alone says where the client stands
	hooks  ConnHooks
	conn   Conn
	gzip   *fanout.Gzip // nil: not compressed, as member.Gzip says

	h         *Handler
	opened    opened
	done      func() // the subscription's
	malformed bool
	greeted   bool
	over      bool
	endsAt    time.Time // by age or right; zero: never
	endsWhy   CloseReason

	out       transport
	lean      *leanSession // of which this is a part; nil: it cannot be taken over
	why       atomic.Pointer[closure]
	wake      atomic.Pointer[func()] // wakes the goroutine, or the shard, that has the session; nil until it is served
	hangUpKey uint64                 // of a session that was taken over
}

// A closure is why a session is to end.
type closure struct {
	reason CloseReason
	err    error
}

// stop has the session end soon. The first reason counts. Any goroutine may
// call it.
func (s *session) stop(c *closure) {
	if s.why.CompareAndSwap(nil, c) {
		if wake := s.wake.Load(); wake != nil {
			(*wake)()
		}
	}
}

// An item is something that is written to the client in one go.
type item struct {
	kind  itemKind
	bytes []byte        // what is written; nil for a batch
	batch *fanout.Batch // for itemBatch
	gap   *eventlog.Gap // for itemGap
	ends  CloseReason   // not empty: the stream is over after it
}

type itemKind int

const (
	itemGreeting itemKind = iota
	itemBatch
	itemGap
	itemPing
	itemLast // the last word: close, or a ping with the time to come back
)

// work writes what there is for the client, until nothing is left, and reports
// whether the stream is over; the session is ended then.
func (s *session) work() (over bool) {
	for {
		it, reason, ok := s.next(time.Now())
		switch {
		case reason != "":
			s.end(reason, s.cause())
			return true
		case !ok:
			return false
		}
		began := time.Now()
		if err := s.write(&it); err != nil {
			if it.batch != nil {
				s.wrotePart(it.batch, began)
			}
			s.end(s.failed(err))
			return true
		}
		s.wrote(&it, began, time.Now(), s.member.Lag())
		s.conn.writing.Store(0)
		if it.ends != "" {
			s.end(it.ends, s.cause())
			return true
		}
	}
}

// next returns what is to be written now, or the reason why the stream is over
// without another word.
func (s *session) next(now time.Time) (it item, over CloseReason, ok bool) {
	if !s.greeted {
		s.greeted = true
		return item{kind: itemGreeting, bytes: s.greeting(now)}, "", true
	}
	if !s.endsAt.IsZero() && !now.Before(s.endsAt) {
		s.why.CompareAndSwap(nil, &closure{reason: s.endsWhy})
	}
	if why := s.why.Load(); why != nil {
		return s.lastWord(why, now)
	}
	batch, err := s.member.Read()
	var gap *eventlog.Gap
	switch {
	case batch != nil:
		return item{kind: itemBatch, batch: batch}, "", true
	case errors.As(err, &gap):
		return item{kind: itemGap, gap: gap, bytes: gapMessage(gap)}, "", true
	case err != nil: // it can only be the end
		return item{kind: itemLast, bytes: closeMessage(s.opened.topic.log.Ended()), ends: CloseEnded}, "", true
	case now.Sub(s.conn.LastWrite()) >= s.h.heartbeat():
		return item{kind: itemPing, bytes: pingMessage(s.member.Position(), 0, now)}, "", true
	}
	return item{}, "", false
}

// greeting is what every client gets first. Its id is the position after which
// the stream begins: a client that is cut off before its first event resumes
// there.
func (s *session) greeting(now time.Time) []byte {
	hello := hello{
		Connection: s.conn.ID, Node: s.h.Node, Topic: s.conn.Topic, Resumed: s.conn.Resumed,
		Traceparent: s.hooks.Traceparent, Session: s.hooks.Session,
		Position: s.member.Position().String(), Live: s.member.Since().String(), Time: now.UnixMilli(),
	}
	s.hooks.Traceparent, s.hooks.Session = "", "" // they are told once, and need not be kept
	if s.malformed {
		hello.LastEventID = "malformed"
	}
	return greetingMessage(hello, or(s.h.Retry, defaultRetry))
}

// lastWord takes leave where the server ends the stream.
func (s *session) lastWord(why *closure, now time.Time) (it item, over CloseReason, ok bool) {
	switch {
	case why.reason == CloseExpired, why.reason == CloseRevoked:
		return item{kind: itemLast, bytes: closeMessage(string(why.reason)), ends: why.reason}, "", true
	case why.reason.cut():
		return item{}, why.reason, false
	}
	return item{kind: itemLast, bytes: pingMessage(s.member.Position(), s.comeBack(why.reason), now), ends: why.reason}, "", true
}

// comeBack is when a client whose stream the server ends shall come back: not
// all at once, and in a drain when the next process can be there.
func (s *session) comeBack(reason CloseReason) time.Duration {
	retry := time.Duration((0.5 + rand.Float64()) * float64(or(s.h.Retry, defaultRetry)))
	if reason == closeDrain {
		retry += s.h.conns.drainLeft()
	}
	return retry
}

// write puts an item on its way, compressed where the stream is.
func (s *session) write(it *item) error {
	if it.batch != nil {
		s.conn.writing.Store(int64(it.batch.Events))
		return s.out.batch(it.batch, s.gzip != nil)
	}
	if s.gzip != nil {
		it.bytes = s.gzip.Encode(it.bytes)
	}
	return s.out.write(it.bytes)
}

// wrote counts an item that has been written whole, and tells the hooks. All that
// is written comes here, but for the few bytes that end a body.
func (s *session) wrote(it *item, began, ended time.Time, lag uint64) {
	s.conn.wrote.Store(int64(ended.Sub(s.conn.Started)))
	if it.kind == itemBatch {
		s.delivered(it.batch, began, ended, lag)
		return
	}
	s.conn.bytes.Add(int64(len(it.bytes)))
	switch it.kind {
	case itemGreeting:
		if s.hooks.Open != nil {
			s.hooks.Open(ended)
		}
	case itemGap:
		s.conn.errors.Add(1)
		s.conn.missed.Add(int64(it.gap.Missed))
		if s.hooks.Gap != nil {
			s.hooks.Gap(it.gap, ended)
		}
	case itemPing:
		if s.hooks.Heartbeat != nil {
			s.hooks.Heartbeat(ended)
		}
	}
}

// wrotePart counts what the system has taken of a batch whose write has failed. The rest
// was not sent.
func (s *session) wrotePart(b *fanout.Batch, began time.Time) {
	part, rest := b.Cut(s.out.taken(b, s.gzip != nil))
	if part != nil {
		s.delivered(part, began, time.Now(), s.member.Lag()+uint64(rest))
	}
	s.conn.writing.Store(int64(rest))
}

func (s *session) delivered(b *fanout.Batch, began, ended time.Time, lag uint64) {
	plain := b.Bytes(fanout.Encoding{})
	bytes := len(plain)
	if s.member.Gzip {
		s.gzip.Add(plain)
		bytes = len(b.Bytes(fanout.Encoding{Gzip: true}))
	}
	s.conn.bytes.Add(int64(bytes))
	s.conn.events.Add(int64(b.Events))
	if s.hooks.Flush != nil {
		since := s.member.Since()
		f := flushes.Get().(*Flush)
		*f = Flush{
			Entries: b.Entries, Events: b.Events, Tagged: b.Tagged, Shard: s.member.Shard(),
			Since: since, Replayed: b.Replayed(since), Bytes: bytes, Began: began, Ended: ended, Lag: lag,
		}
		s.hooks.Flush(f)
		flushes.Put(f)
	}
}

// flushes are what hooks are given, each time anew.
var flushes = sync.Pool{New: func() any { return new(Flush) }}

// due is how long from now the session is to be looked at again, if nothing
// else happens: for the next ping, or its end.
func (s *session) due(now time.Time) time.Duration {
	wait := s.h.heartbeat() - now.Sub(s.conn.LastWrite())
	if !s.endsAt.IsZero() {
		wait = min(wait, s.endsAt.Sub(now))
	}
	return max(wait, 0)
}

func (s *session) cause() error {
	if why := s.why.Load(); why != nil {
		return why.err
	}
	return nil
}

// failed says what a failed write means.
func (s *session) failed(err error) (CloseReason, error) {
	why := s.why.Load()
	switch {
	case errors.Is(err, errForeignDeadline):
		return closeError, err
	case s.conn.cut.Load() && why != nil:
		return why.reason, err
	case errors.Is(err, os.ErrDeadlineExceeded) && why != nil && !why.reason.cut():
		return why.reason, err // it was to end, and the client did not take what was under way
	case errors.Is(err, os.ErrDeadlineExceeded):
		return CloseSlow, err
	case why != nil && why.reason == closeVanished:
		return closeVanished, why.err
	case errors.Is(err, syscall.ECONNRESET):
		return closeReset, nil
	case why != nil && (why.reason == CloseClient || why.reason == closeReset):
		return why.reason, nil
	case isGone(err):
		return s.conn.leftBy(), nil
	}
	return closeError, err
}

// end is called once, when the connection is over.
func (s *session) end(reason CloseReason, err error) {
	if s.over {
		return // a hook has panicked at the end
	}
	s.over = true
	s.why.CompareAndSwap(nil, &closure{reason: reason})
	orderly := err == nil && !reason.cut()
	s.conn.ended(reason, !orderly)
	if s.out != nil {
		if s.gzip != nil && orderly {
			_ = s.out.write(s.gzip.End()) // the stream is over in any case
		}
		s.out.close(orderly)
	}
	s.leave(reason)
	if s.hooks.Disconnect != nil {
		s.hooks.Disconnect(reason, err)
	}
}

// leave gives back what the session has taken. Its slot comes first: who sees
// that the stream is gone finds its place free.
func (s *session) leave(reason CloseReason) {
	defer func() { // also when the program's own function panics
		s.member.Leave()
		s.opened.topic.leave(s.opened.feed)
		s.h.conns.leave(&s.conn, reason)
	}()
	if done := s.done; done != nil {
		s.done = nil
		done()
	}
}

// finished reports whether the topic has ended and this client, who has been
// here before, has all of it.
func (s *session) finished() bool {
	return s.conn.Resumed && !s.conn.ResumedFrom.IsZero() && s.opened.topic.log.Ended() != "" && s.member.Lag() == 0
}

// begin has the session write: it sets the headers, and chooses the transport.
func (s *session) begin(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
			panic(p)
		}
	}()
	header := w.Header()
	setHeader(header)
	if s.h.Compress && header.Get("Content-Encoding") == "" {
		header.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header) {
			header.Set("Content-Encoding", "gzip")
			s.gzip, s.member.Gzip = new(fanout.Gzip), true
		}
	}
	if s.lean != nil && s.lean.takeOver(w, r) {
		return
	}
	if mustTry(w) {
		if err := http.NewResponseController(w).Flush(); errors.Is(err, http.ErrNotSupported) {
			s.end(closeError, err)
			for _, name := range []string{"Content-Type", "Content-Encoding", "Cache-Control", "X-Accel-Buffering"} {
				header.Del(name)
			}
			s.h.refuse(w, r, s.h.flushRefusal(r.Context(), fmt.Errorf("FlushError of the writer %T: %w", w, err)))
			return
		}
	} else {
		w.WriteHeader(http.StatusOK)
	}
	servePlain(r.Context(), s, w, r.ProtoMajor)
}

// contextEnd is what the end of a request's context means.
func (s *session) contextEnd(ctx context.Context) *closure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &closure{reason: closeLifetime}
	}
	return &closure{reason: s.conn.leftBy()}
}

// panicked ends the session for a fault in the server, such as in a hook.
func (s *session) panicked(p any) {
	s.end(ClosePanic, fmt.Errorf("panic: %v", p))
}
