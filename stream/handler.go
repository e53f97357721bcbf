package stream

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/stream/internal/fanout"
)

// Defaults of a [Handler].
const (
	defaultHeartbeat    = 15 * time.Second
	defaultWriteTimeout = 10 * time.Second
	defaultRetry        = 2 * time.Second
)

// A Handler serves the topics of a hub as text/event-stream (WHATWG HTML,
// section 9.2). The zero value of each field but Hub works. A Handler must not
// be copied after its first request. Its methods may be called by any goroutine.
type Handler struct {
	// Hub has the topics.
	Hub *Hub
	// Subscribe says what a request reads: who, what, and until when. It is asked
	// first, for HEAD too, and before any answer tells of a topic. It may call
	// ParseSubscription and change what that returns. A *Refusal as the error
	// refuses the request; any other error is logged and answered by 500, at which
	// an EventSource gives up: for a fault that will pass, such as a store of
	// sessions that is away, return a *Refusal with status 503.
	// Default: ParseSubscription.
	Subscribe func(r *http.Request) (*Subscription, error)
	// Format is what a client gets that names none. Default: FormatData.
	Format Format
	// Node names this process to the client.
	Node string
	// Heartbeat is after how long without anything else a ping is sent.
	// Default: 15 s.
	Heartbeat time.Duration
	// WriteTimeout is after how long a client is cut off that takes nothing of a write
	// that waits for it, or with [ConnContext] acknowledges nothing meanwhile. A write
	// waits once the buffers on the way are full: what they hold may stay unread for any
	// time. On the plain transport that takes a writer on which http.ResponseController
	// can set a write deadline: see [TransportPlain]. Default: 10 s.
	WriteTimeout time.Duration
	// Retry is the reconnection time that clients are told. Default:
	// 2 s.
	Retry time.Duration
	// Lifetime ends a connection at this age, give or take a tenth; clients
	// come back. Default: 0, never.
	Lifetime time.Duration
	// Transport is how streams are written. Default: TransportPlain.
	Transport Transport
	// Compress serves gzip to clients that accept it. An event is compressed
	// once for all of them; each costs a checksum more.
	Compress bool
	// Refuse writes a refusal. It is not asked where a refusal is told by a stream,
	// or by the end of the connection: see Refusal.Status. Default: its detail as text.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal *Refusal)
	// Logger takes faults of the server. Default: slog.Default().
	Logger *slog.Logger

	conns   conns
	peers   monitor
	hangUps hangUps
	told    sync.Map // the types of writers that cannot set a deadline, which the log has told of
}

func (h *Handler) logger() *slog.Logger {
	if h.Logger != nil {
		return h.Logger
	}
	return slog.Default()
}

// Conns returns the open connections.
func (h *Handler) Conns() []*Conn { return h.conns.list() }

// Conn returns an open connection, or nil.
func (h *Handler) Conn(id string) *Conn { return h.conns.one(id) }

// Active returns how many connections are open.
func (h *Handler) Active() int { return h.conns.count() }

// Totals returns what has been counted.
func (h *Handler) Totals() Totals { return h.conns.counted() }

// Drain refuses new streams and ends the open ones, spread over the duration
// so that their clients do not all come back at once: each at a moment of its
// own, by chance, between two events. It returns when all have ended. When the context
// is done before, the others end at once, those whose client takes nothing are cut off,
// and Drain returns the context's error a little later. Clients come back to the next server: the topics have not
// ended. A new stream is refused with 503; who accepts nothing but an event stream
// would give up at that: its connection (on HTTP/2 its stream) is closed without an
// answer, and where a middleware's writer has neither Unwrap nor Hijack it is told by a
// stream of one stream-error. At a shutdown call Drain first, then
// http.Server.Shutdown, which waits for open streams, and Hub.Close last.
func (h *Handler) Drain(ctx context.Context, spread time.Duration) error {
	deadline, _ := ctx.Deadline()
	idle := h.conns.drain(spread, deadline)
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		h.conns.cutOff(idle)
		return ctx.Err()
	}
}

// Draining reports whether Drain has been called.
func (h *Handler) Draining() bool { return h.conns.inDrain() }

// ServeHTTP serves one stream. On the plain transport it returns when the
// stream is over: the client has gone, the topic has ended, the right to read
// has, the request's context has, or the server drains. Where a write waits for the
// client at that moment, it returns when that is over, for which the client has little
// more than WriteTimeout: see [Conn.Close]. On the lean transport it returns early:
// see [TransportLean].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, event, refusal := h.admit(w, r)
	switch {
	case refusal != nil:
		h.refuse(w, r, refusal)
	case event != nil:
		event.answer(h, w, r)
	case s == nil: // HEAD
		setHeader(w.Header())
	case s.finished():
		// Everything has been said to this client: 204 is how the specification
		// tells it not to come back.
		w.WriteHeader(http.StatusNoContent)
		s.end(CloseEnded, nil)
	default:
		s.begin(w, r)
	}
}

// admit makes the session of a request, or says why it gets none. Who asks for one event
// alone gets the answer to that; a HEAD request gets nothing.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (*session, *lookedUp, *Refusal) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, nil, &Refusal{Status: http.StatusMethodNotAllowed, Reason: rejectMethod, Detail: "A stream is read with GET.",
			Header: http.Header{"Allow": {"GET, HEAD"}}}
	}
	if !accepts(r.Header.Values("Accept")) {
		return nil, nil, &Refusal{Status: http.StatusNotAcceptable, Reason: rejectAccept,
			Detail: "This address answers with text/event-stream, which the Accept header of the request does not allow."}
	}
	subscribe := h.Subscribe
	if subscribe == nil {
		subscribe = ParseSubscription
	}
	sub, err := subscribe(r)
	if sub == nil && err == nil {
		err = errors.New("Handler.Subscribe returned neither a subscription nor an error")
	}
	if err != nil {
		return nil, nil, asRefusal(r.Context(), h.logger(), err)
	}
	done := sub.Done
	defer func() {
		if done != nil {
			done() // refused, or a hook has panicked
		}
	}()
	if err := cannotFlush(w); err != nil {
		return nil, nil, h.flushRefusal(r.Context(), err)
	}
	if h.Draining() {
		return nil, nil, h.drainRefusal()
	}
	o, err := sub.open(r.Context(), h.Hub, h.Format, r.Method == http.MethodHead)
	if err != nil {
		return nil, nil, asRefusal(r.Context(), h.logger(), err)
	}
	if o.feed == nil {
		return nil, o.event, nil // none for HEAD
	}
	s := h.session(r, sub, o)
	if !h.conns.enter(&s.conn) {
		s.member.Leave()
		o.topic.leave(o.feed)
		return nil, nil, h.drainRefusal()
	}
	if s.conn.raw != nil {
		h.peers.start(or(h.WriteTimeout, defaultWriteTimeout), h.Conns)
	}
	h.connect(r, s, sub.Opened)
	s.done, done = done, nil
	return s, nil, nil
}

// refuse answers a request that gets no stream.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	h.conns.refused()
	if hook := h.Hub.opts.Hooks.Reject; hook != nil {
		hook(r, refusal)
	}
	if refusal.byStream(r) {
		refusal.tellByStream(w, or(h.Retry, defaultRetry))
		return
	}
	h.tell(w, r, refusal)
}

// tell answers with the status of a refusal.
func (h *Handler) tell(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	maps.Copy(w.Header(), refusal.Header)
	if h.Refuse != nil {
		h.Refuse(w, r, refusal)
		return
	}
	refusal.tell(w)
}

// connect tells of a new connection, to functions that may panic.
func (h *Handler) connect(r *http.Request, s *session, opened func(*Conn)) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
			panic(p)
		}
	}()
	if hook := h.Hub.opts.Hooks.Connect; hook != nil {
		s.hooks = hook(r, &s.conn)
	}
	if opened != nil {
		opened(&s.conn)
	}
}

func (h *Handler) flushRefusal(ctx context.Context, err error) *Refusal {
	h.logger().ErrorContext(ctx, "a stream cannot be flushed, and was refused", "reason", err)
	return &Refusal{Status: http.StatusInternalServerError, Reason: rejectFlush, Detail: "The server cannot stream here; its log says why."}
}

func (h *Handler) drainRefusal() *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Reason: rejectDrain, RetryAfter: max(time.Second, h.conns.drainLeft()),
		Detail: "The server is shutting down. Try again in a moment."}
}

// newSession returns an empty session: one that may be taken over, where the handler
// is for that.
func (h *Handler) newSession() *session {
	if h.Transport != TransportLean {
		return &session{h: h}
	}
	l := new(leanSession)
	l.h, l.lean = h, l
	return &l.session
}

// session makes the session of an admitted request.
func (h *Handler) session(r *http.Request, sub *Subscription, o opened) *session {
	protocol := strconv.Itoa(r.ProtoMajor)
	if r.ProtoMajor == 1 {
		protocol = "1." + strconv.Itoa(r.ProtoMinor)
	}
	now := time.Now()
	s := h.newSession()
	s.opened, s.malformed = o, sub.malformed
	s.conn = Conn{
		ID: newConnID(), Topic: o.topic.name, Label: o.topic.label(), Subjects: sub.Subjects, Format: o.format,
		Identity: sub.Identity, Value: sub.Value, Protocol: protocol, Client: sub.Client, UserAgent: clip(r.UserAgent()), Started: now,
	}
	c := &s.conn
	c.s = s
	if c.Client == "" {
		c.Client = r.RemoteAddr
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			c.Client = host
		}
	}
	if held, ok := r.Context().Value(connKey{}).(heldConn); ok {
		c.raw = held.raw
	}
	if sub.Resume != nil {
		c.ResumedFrom = *sub.Resume
		c.Resumed = !o.cursor.Lost()
	}
	if h.Lifetime > 0 {
		s.endsAt, s.endsWhy = now.Add(time.Duration((0.9+rand.Float64()/5)*float64(h.Lifetime))), closeLifetime
	}
	if !sub.Expires.IsZero() && (s.endsAt.IsZero() || sub.Expires.Before(s.endsAt)) {
		s.endsAt, s.endsWhy = sub.Expires, CloseExpired
	}
	together := ""
	if r.ProtoMajor == 2 {
		// The streams of one connection are written to together, so that their
		// frames are too.
		together = r.RemoteAddr
	}
	s.member = fanout.Member{Reader: o.feed.Join(o.cursor, together), FD: -1}
	return s
}

// Timing returns the heartbeat, and the reconnection time that clients are told:
// the fields of these names, or their defaults.
func (h *Handler) Timing() (heartbeat, retry time.Duration) {
	return h.heartbeat(), or(h.Retry, defaultRetry)
}

func (h *Handler) heartbeat() time.Duration { return or(h.Heartbeat, defaultHeartbeat) }

// maxUserAgent bounds what is kept of a User-Agent with each stream.
const maxUserAgent = 256

func clip(userAgent string) string {
	return strings.ToValidUTF8(strings.Clone(userAgent[:min(len(userAgent), maxUserAgent)]), "\ufffd")
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}
