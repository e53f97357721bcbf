package telemetry

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// lastWords is how long after the end of a stream its page may still report.
const lastWords = 30 * time.Second

// streamRoute is the http.route of a stream that came without the middleware.
const streamRoute = "/sse-stream"

// streams observes who reads: a connection for each stream that is open, and the
// requests for one that are refused. Any goroutine may call its methods.
type streams struct {
	rec      *recorder
	requests *requests
	topics   *topics
	readers  *readers
	late     *lateEvents
	log      *logbook

	sessions *sessions

	mu   sync.RWMutex
	byID map[string]*connection // what the handler's registry does not know of them
}

// connect begins the observation of a connection that has been admitted.
func (s *streams) connect(r *http.Request, conn *stream.Conn) stream.ConnHooks {
	c := &connection{late: s.late, log: s.log}
	c.trace.rec, c.trace.conn, c.trace.topic = s.rec, conn, s.topics.topic(conn.Label)
	c.live = conn.ResumedFrom.IsZero()
	c.exchange = exchangeOf(r.Context())
	if c.exchange == nil { // no middleware
		c.exchange = &exchange{requests: s.requests, r: r, route: streamRoute, began: conn.Started}
	}
	c.exchange.stream = true
	session := s.sessions.begin(conn, r)
	c.trace.session = session
	c.exchange.start(true)
	c.trace.request = refOf(c.exchange.span.SpanContext())
	c.exchange.set(keyTopic.String(conn.Topic), keyConnection.String(conn.ID), keyStreamFormat.String(string(conn.Format)), keySession.String(session))
	if !conn.ResumedFrom.IsZero() {
		c.exchange.set(keyResumedFrom.String(conn.ResumedFrom.String()))
	}
	if r.Header.Get("Sec-Fetch-Site") == "same-origin" { // a page of this server, which may ask for its own journeys
		c.reader.Store(s.rec.journeys.Reader(conn.ID))
	}
	c.trace.topic.opened(conn.Protocol, +1)
	s.readers.add(conn.Topic, +1)
	s.mu.Lock()
	if s.byID == nil {
		s.byID = make(map[string]*connection)
	}
	s.byID[conn.ID] = c
	s.mu.Unlock()
	return stream.ConnHooks{
		Traceparent: traceparent(c.trace.request.context()),
		Session:     session,
		Open:        c.open,
		Flush:       c.flush,
		Gap:         c.gap,
		Heartbeat:   c.heartbeat,
		Disconnect:  func(reason stream.CloseReason, err error) { s.disconnect(c, reason, err) },
	}
}

var errPanic = errors.New("panic")

// disconnect is called once, last.
func (s *streams) disconnect(c *connection, reason stream.CloseReason, err error) {
	now := time.Now()
	if reason == stream.ClosePanic && err == nil {
		err = errPanic
	}
	segments := c.finish(now, reason, err)
	conn := c.trace.conn
	if c.reader.Load() == nil {
		s.forget(conn.ID)
	} else { // its page may still have something to tell
		time.AfterFunc(lastWords, func() { s.forget(conn.ID) })
	}
	s.sessions.end(conn, c.trace.session, now)
	c.trace.topic.opened(conn.Protocol, -1)
	s.readers.add(conn.Topic, -1)
	c.closed(now, reason, err, segments)
}

// find returns the connection of an ID, or nil.
func (s *streams) find(id string) *connection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[id]
}

func (s *streams) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// segments returns how many segments of an open connection have ended so far.
func (s *streams) segments(id string) int {
	if c := s.find(id); c != nil {
		return c.trace.segments()
	}
	return 0
}

// reject counts and logs a refusal, with the status that is sent: to a client that
// would give up at another it is 200. The middleware puts the reason on the span.
func (s *streams) reject(r *http.Request, refusal *stream.Refusal) {
	asked := clip(cmp.Or(r.PathValue("topic"), r.URL.Query().Get("topic")))
	tm := s.topics.of(asked)
	add(tm.rejected, refusal.Reason, 1)
	topic := tm.name
	if topic == other && asked != "" { // there is none: whoever asked named it
		topic = asked
	}
	ctx := r.Context()
	if x := exchangeOf(ctx); x != nil {
		x.refusal = refusal
		ctx = trace.ContextWithSpan(ctx, x.begin())
		if asked != "" {
			x.set(keyTopic.String(asked))
		}
	}
	s.log.write(ctx, slog.LevelInfo, "stream refused", refusal.Reason,
		slog.String("topic", topic), slog.String("client", s.requests.client(r)), slog.Int("status", refusal.AnsweredBy(r)))
}

// maxAsked is how much is told of the name of a topic that somebody asked for.
const maxAsked = 128

// clip makes a name fit to be told that may be anything.
func clip(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	for i := range name {
		if i > maxAsked {
			return name[:i] + "…"
		}
	}
	return name
}
