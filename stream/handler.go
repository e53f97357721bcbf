package stream

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/stream/sse"
)

// Defaults of a [Handler].
const (
	DefaultHeartbeat    = 15 * time.Second
	DefaultWriteTimeout = 10 * time.Second
	DefaultRetry        = 2 * time.Second
)

// A Handler serves the topics of a hub as text/event-stream (WHATWG HTML,
// section 9.2). The query says what: topic, format, and last_event_id where
// the client cannot send the header Last-Event-ID. The zero value of each
// field but Hub works. A Handler must not be copied after its first request.
type Handler struct {
	// Hub has the topics.
	Hub *Hub
	// Format is what a client gets that names none. Default: FormatJSON.
	Format string
	// Node names this process to the client.
	Node string
	// Heartbeat is after how long without anything else a ping is sent.
	// Default: DefaultHeartbeat.
	Heartbeat time.Duration
	// WriteTimeout is how long one write may take before the client counts as
	// gone, up to an eighth more where net/http writes to HTTP/1.1; and how
	// long a client may acknowledge nothing: see [ConnContext]. Default:
	// DefaultWriteTimeout.
	WriteTimeout time.Duration
	// Retry is the reconnection time that clients are told. Default:
	// DefaultRetry.
	Retry time.Duration
	// Lifetime ends a connection at this age, give or take a tenth; clients
	// come back. Default: 0, never.
	Lifetime time.Duration
	// Transport is how streams are written. Default: TransportAuto.
	Transport Transport
	// Compress serves gzip to clients that accept it. An event is compressed
	// once for all of them; each costs a checksum more.
	Compress bool
	// Admit, if set, decides whether a request gets a stream. The function it
	// returns, if any, is called once, when the stream is over.
	Admit func(r *http.Request) (release func(), refusal *Refusal)
	// Refuse writes a refusal. Default: its detail as text.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal *Refusal)
	// Logger takes faults of the server. Default: slog.Default().
	Logger *slog.Logger

	mu       sync.Mutex
	conns    map[string]*Conn
	draining bool
	spread   time.Duration
	looking  bool // look will be called
	totals   Totals
	idle     chan struct{} // closed when the last connection has gone in a drain

	pumps pumps
}

// A Transport is how streams are written.
type Transport string

// The transports.
const (
	// TransportAuto takes plain HTTP/1.1 connections over from net/http where
	// the system allows it (Linux), and lets a few goroutines write to all
	// those that have caught up. All others are served as TransportNetHTTP.
	TransportAuto Transport = "auto"
	// TransportNetHTTP writes through net/http, with a goroutine a connection.
	TransportNetHTTP Transport = "net/http"
)

// A Refusal says why a request gets no stream.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Reason is one of a bounded set, fit for a metric's attribute.
	Reason string
	// Detail tells the user what is wrong and what would be right.
	Detail string
	// RetryAfter is when the client may try again; 0 says nothing.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return r.Detail }

// SetRetryAfter puts the Retry-After header of RFC 9110 into h.
func (r *Refusal) SetRetryAfter(h http.Header) {
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((r.RetryAfter+time.Second-1)/time.Second)))
	}
}

// Totals are counted since the handler began.
type Totals struct {
	Connections int64                 // admitted
	Rejected    int64                 // refused
	Events      int64                 // sent, by connections that are over
	Bytes       int64                 // likewise
	Duration    time.Duration         // of the connections that are over, added up
	Closed      map[CloseReason]int64 // connections that are over
	Gaps        int64                 // told
}

func (h *Handler) logger() *slog.Logger {
	if h.Logger != nil {
		return h.Logger
	}
	return slog.Default()
}

// Conns returns the open connections.
func (h *Handler) Conns() []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.conns))
}

// Conn returns an open connection, or nil.
func (h *Handler) Conn(id string) *Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[id]
}

// Active returns how many connections are open.
func (h *Handler) Active() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// Totals returns what has been counted.
func (h *Handler) Totals() Totals {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.totals
	t.Closed = maps.Clone(t.Closed)
	return t
}

// errDrain and errLifetime are causes of an end that the server chose.
var (
	errDrain    = errors.New("the server is shutting down")
	errLifetime = errors.New("the connection has reached its greatest age")
	errGone     = errors.New("the client has gone")
	errPanic    = errors.New("panic")
)

// Drain refuses new streams and ends the open ones, spread over the duration
// so that their clients do not all come back at once, each between two events.
// It returns when all have ended, or with the context's error. Clients come
// back to the next server: the stream itself has not ended.
func (h *Handler) Drain(ctx context.Context, spread time.Duration) error {
	h.mu.Lock()
	if !h.draining {
		h.draining, h.spread = true, spread
		h.idle = make(chan struct{})
		if len(h.conns) == 0 {
			close(h.idle)
		}
		for _, c := range h.conns {
			time.AfterFunc(time.Duration(rand.Float64()*float64(spread)), func() { c.cancel(errDrain) })
		}
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		h.mu.Lock()
		for _, c := range h.conns {
			c.cancel(errDrain)
		}
		h.mu.Unlock()
		return ctx.Err()
	}
}

// Draining reports whether Drain has been called.
func (h *Handler) Draining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// enter registers a connection. It fails in a drain.
func (h *Handler) enter(c *Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return false
	}
	if h.conns == nil {
		h.conns = make(map[string]*Conn)
		h.totals.Closed = make(map[CloseReason]int64)
	}
	h.conns[c.ID] = c
	h.totals.Connections++
	return true
}

func (h *Handler) leave(c *Conn, reason CloseReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c.ID)
	h.totals.Events += c.Events()
	h.totals.Bytes += c.Bytes()
	h.totals.Duration += time.Since(c.Started)
	h.totals.Closed[reason]++
	h.totals.Gaps += c.Errors()
	if h.draining && len(h.conns) == 0 {
		close(h.idle)
	}
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	h.mu.Lock()
	h.totals.Rejected++
	h.mu.Unlock()
	if hook := h.Hub.opts.Hooks.Reject; hook != nil {
		hook(r, refusal)
	}
	if h.Refuse != nil {
		h.Refuse(w, r, refusal)
		return
	}
	refusal.SetRetryAfter(w.Header())
	http.Error(w, refusal.Detail, refusal.Status)
}

// ServeHTTP serves one stream, until the client goes, the topic ends, or the
// server drains.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// net/http's goroutine has nothing to do but to wait, and its stack, which
	// stays as large as it ever was, is not needed for more.
	var s *session
	onOtherStack(func() { s = h.serve(w, r) })
	switch {
	case s == nil:
	case s.over == nil: // taken over: net/http's goroutine goes when it returns
		s.attend(true)
	default:
		s.wait(r.Context())
	}
}

// onOtherStack runs f in a goroutine of its own and waits for it. A panic of f
// goes on in the caller.
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

// serve answers a request, or begins the stream that is the answer and returns
// its session.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) *session {
	ask, refusal := h.parse(r)
	if refusal != nil {
		if refusal.Status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, HEAD")
		}
		h.refuse(w, r, refusal)
		return nil
	}
	if r.Method == http.MethodHead {
		setHeader(w.Header())
		return nil
	}
	var release func()
	if h.Admit != nil {
		if release, refusal = h.Admit(r); refusal != nil {
			h.refuse(w, r, refusal)
			return nil
		}
	}
	var s *session
	defer func() {
		if s == nil && release != nil {
			release() // refused, or a hook has panicked
		}
	}()
	if s, refusal = h.begin(r, ask); refusal != nil {
		h.refuse(w, r, refusal)
		return nil
	}
	s.release = release
	if s.finished() {
		// Everything has been said to this client: 204 is how the
		// specification tells it not to come back.
		w.WriteHeader(http.StatusNoContent)
		s.end(CloseEnded, nil)
		return nil
	}
	s.begin(w, r)
	return s
}

func setHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// begin makes the session of an admitted request.
func (h *Handler) begin(r *http.Request, ask request) (*session, *Refusal) {
	cur, err := h.Hub.open(ask.topic, ask.format, ask.resume)
	if err != nil {
		refusal := &Refusal{Status: http.StatusServiceUnavailable, Reason: "broker", RetryAfter: 2 * time.Second,
			Detail: "The server has not reached its event broker yet. Try again in a moment."}
		if !errors.Is(err, ErrUnavailable) {
			refusal = &Refusal{Status: http.StatusNotFound, Reason: "topic", Detail: "There is no such topic."}
		}
		return nil, refusal
	}
	protocol := "1.1"
	if r.ProtoMajor > 1 {
		protocol = strconv.Itoa(r.ProtoMajor)
	} else if r.ProtoMinor == 0 {
		protocol = "1.0"
	}
	s := &session{h: h, malformed: ask.malformed, slot: -1, fd: -1, cur: *cur}
	c := &s.conn
	c.ID, c.Topic, c.Format, c.Protocol, c.Client = newConnID(), ask.topic, ask.format, protocol, r.RemoteAddr
	c.Started, c.log, c.cancel = time.Now(), cur.log, s.stop
	c.Resumed = ask.resume != nil && len(cur.gaps) == 0
	if ask.resume != nil {
		c.ResumedFrom = *ask.resume
	}
	c.next.Store(cur.next)
	if !h.enter(c) {
		h.mu.Lock()
		wait := h.spread
		h.mu.Unlock()
		return nil, &Refusal{Status: http.StatusServiceUnavailable, Reason: "drain", Detail: "The server is shutting down. Try again in a moment.",
			RetryAfter: max(time.Second, wait)}
	}
	if hook := h.Hub.opts.Hooks.Connect; hook != nil {
		defer func() {
			if p := recover(); p != nil {
				h.leave(c, ClosePanic)
				panic(p)
			}
		}()
		s.hooks = hook(r, c)
		s.flush = s.hooks.Flush
	}
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		if raw := rawConn(conn); raw != nil {
			h.watch(c, raw)
		}
	}
	shared := ""
	if r.ProtoMajor == 2 {
		// The streams of one connection are written to together, so that their
		// frames are too.
		shared = r.RemoteAddr
	}
	s.cur.lane = cur.log.join(shared)
	return s, nil
}

// appendHello appends what every client gets first.
func (s *session) appendHello(dst []byte, now time.Time) []byte {
	// By hand: encoding/json needs a stack that a goroutine of a stream would
	// keep for as long as it lasts.
	data := append(make([]byte, 0, 384), `{"connection":`...)
	data = appendJSONString(data, s.conn.ID)
	data = appendJSONString(append(data, `,"node":`...), s.h.Node)
	data = appendJSONString(append(data, `,"topic":`...), s.conn.Topic)
	data = strconv.AppendBool(append(data, `,"resumed":`...), s.conn.Resumed)
	if s.malformed {
		data = append(data, `,"last_event_id":"malformed"`...)
	}
	data = appendJSONString(append(data, `,"traceparent":`...), s.hooks.Traceparent)
	data = append(s.position().AppendTo(append(data, `,"position":"`...)), '"')
	data = append(strconv.AppendInt(append(data, `,"time":`...), now.UnixMilli(), 10), '}')
	dst = sse.Message{Retry: or(s.h.Retry, DefaultRetry), Event: "connected", Data: data}.AppendTo(dst)
	// An ID without data dispatches nothing, but a client that is cut off
	// before its first event knows by it where to resume.
	return sse.Message{ID: s.position().String()}.AppendTo(dst)
}

// position is the ID behind which the client's stream begins. Before a gap has
// been told that is where the gap begins.
func (s *session) position() ID {
	if len(s.cur.gaps) > 0 {
		return s.cur.gaps[0].From
	}
	return s.cur.last
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}

func appendJSONString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // cannot fail for a string
	return append(dst, quoted...)
}
