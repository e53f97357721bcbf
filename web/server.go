// Package web is Weir's HTTP surface: the routes, the page, publishing, health,
// and what guards them. It knows the stream and the journeys of events, and
// nothing of OpenTelemetry: telemetry is handed in as functions.
package web

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"weir/stream"
	"weir/web/limits"
	"weir/web/rights"
)

// A Server is the HTTP surface of one hub.
type Server struct {
	opts    Options
	started time.Time
	sharing *sharing // nil: no other origins

	sockets                                        *limits.Sockets
	slots                                          *limits.Slots // open streams
	connectRate, ticketRate, publishRate, viewRate *limits.Rates

	watched *watched
}

// NewServer returns the HTTP surface.
func NewServer(opts Options) (*Server, error) {
	if opts.Hub == nil || opts.Stream == nil {
		return nil, errors.New("web: a server needs a hub and a stream handler")
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	connects := func() *limits.Rates {
		perSecond := opts.Limits.ConnectRate
		return limits.NewRates(perSecond, int(math.Ceil(perSecond*burstSeconds)))
	}
	s := &Server{
		opts: opts, started: time.Now(),
		sockets:     limits.NewSockets(opts.Limits.Sockets, opts.Limits.SocketsPerClient, opts.Limits.Proxies),
		slots:       limits.NewSlots(opts.Limits.Conns, opts.Limits.ConnsPerClient),
		connectRate: connects(),
		ticketRate:  connects(),
		viewRate:    connects(),
		publishRate: limits.NewRates(opts.Limits.PublishRate, int(opts.Limits.PublishRate)+1),
	}
	s.watched = newWatched(s)
	s.sharing, err = newSharing(opts.Access.CORSOrigins)
	return s, err
}

// BoundSockets bounds the sockets of a server that serves Handler. It is called
// before the server is started.
func (s *Server) BoundSockets(server *http.Server) {
	before := server.ConnContext
	server.ConnState = s.sockets.ConnState
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		ctx = s.sockets.ConnContext(ctx, conn)
		if before != nil {
			ctx = before(ctx, conn)
		}
		return ctx
	}
}

// EndRevoked ends the streams whose right to read has gone. It is called after
// [rights.Rights.Reload].
func (s *Server) EndRevoked() {
	s.endRevoked()
	// A stream that was admitted a moment before may not be in the list yet.
	time.AfterFunc(revokeAgain, s.endRevoked)
}

// revokeAgain is longer than it takes to begin a stream.
const revokeAgain = 5 * time.Second

func (s *Server) endRevoked() {
	for _, c := range s.opts.Stream.Conns() {
		if !s.opts.Access.Rights.Holds(c.Identity, c.Topic, c.Subjects) {
			c.Close(stream.CloseRevoked)
		}
	}
}

// Handler returns the public routes.
func (s *Server) Handler() http.Handler {
	m := s.newRoutes()
	m.mux.Handle("/sse-stream", s.crossOrigin(s.opts.Observe.Instrument("/sse-stream", s.stream(s.opts.Stream))))
	m.mux.Handle(topicRoute, s.topicAddress(m))
	m.own("/{$}", get(s.page))
	m.own("/assets/", get(s.asset))
	m.shared("/publish", http.HandlerFunc(s.publish))
	m.shared("/ticket", http.HandlerFunc(s.ticket))
	m.shared("/sse-health", getHandler(s.view(public, s.health)))
	m.shared("/sse-metrics", get(s.metrics))
	m.probe("/livez", get(livez))
	m.probe("/readyz", get(s.readyz))
	if s.opts.Observe.Browser != nil {
		m.own("/telemetry/browser", s.opts.Observe.Browser)
	}
	if !s.opts.Admin {
		s.operatorRoutes(m, public)
	}
	m.own("/", http.HandlerFunc(notFound))
	var h http.Handler = m.mux
	if s.opts.Access.Play {
		h = playground(h)
	}
	if hosts := s.opts.Access.Hosts; hosts.Loopback || s.opts.Access.Play {
		h = hosts.guard(false, h)
	}
	return secure(h)
}

// AdminHandler returns the routes for operators: profiles, and what Handler
// leaves out when Options.Admin is set. The command line is not among them:
// tokens may stand there.
func (s *Server) AdminHandler() http.Handler {
	m := s.newRoutes()
	s.operatorRoutes(m, operators)
	m.own("/sse-health", getHandler(s.view(operators, s.health)))
	m.own("/sse-metrics", get(s.metrics))
	m.probe("/livez", get(livez))
	m.probe("/readyz", get(s.readyz))
	m.plain("/debug/pprof/", ownPages(pprof.Index))
	m.plain("/debug/pprof/cmdline", notFound)
	m.plain("/debug/pprof/profile", ownPages(pprof.Profile))
	m.plain("/debug/pprof/symbol", pprof.Symbol)
	m.plain("/debug/pprof/trace", ownPages(pprof.Trace))
	// The page is here too, with the views for operators alone.
	m.own("/{$}", get(s.page))
	m.own("/assets/", get(s.asset))
	m.plain("/", notFound)
	return secure(s.opts.Access.Hosts.guard(true, asAdmin(m.mux)))
}

// operatorRoutes are on the admin listener where there is one.
func (s *Server) operatorRoutes(m routes, to audience) {
	m.mux.Handle("/streams", getHandler(s.watched))
	if metrics := s.opts.Observe.Metrics; metrics != nil {
		m.own("/metrics", getHandler(s.view(to, func(w http.ResponseWriter, r *http.Request, who *viewer) {
			if who.turnedAway(w, r) {
				return
			}
			if !who.MayAll(rights.Subscribe) {
				WriteProblem(w, r, problem(http.StatusForbidden, "topic_token", "The metrics tell of every topic, and the token is not valid for all of them."))
				return
			}
			metrics.ServeHTTP(w, r)
		})))
	}
	if s.opts.Observe.Traces != nil {
		m.own("/traces", getHandler(s.view(to, s.traces)))
		m.own("/traces/{trace_id}", getHandler(s.view(to, s.journey)))
	}
}

// routes is what one listener serves. Its answers have slots of their own, so
// that operators are answered while clients wait.
type routes struct {
	mux   *http.ServeMux
	s     *Server
	slots *limits.Slots
}

func (s *Server) newRoutes() routes {
	return routes{http.NewServeMux(), s, limits.NewSlots(s.opts.Limits.Requests, s.opts.Limits.RequestsPerClient)}
}

// own serves a path to pages of this site.
func (m routes) own(path string, h http.Handler) {
	m.mux.Handle(path, m.s.answer(m.slots, m.s.opts.Observe.Instrument(path, h)))
}

// shared serves a path to pages of the origins that are let in, too.
func (m routes) shared(path string, h http.Handler) {
	m.mux.Handle(path, m.s.answer(m.slots, m.s.crossOrigin(m.s.opts.Observe.Instrument(path, h))))
}

// probe serves a path however many requests wait.
func (m routes) probe(path string, h http.Handler) {
	m.mux.Handle(path, deadline(m.s.opts.Observe.Instrument(path, h)))
}

// plain serves a path that is not observed.
func (m routes) plain(path string, h http.HandlerFunc) {
	m.mux.Handle(path, m.s.answer(m.slots, h))
}

func get(f http.HandlerFunc) http.Handler { return getHandler(f) }

// getHandler refuses what is neither GET nor HEAD.
func getHandler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			WriteProblem(w, r, problem(http.StatusMethodNotAllowed, "method", "This address is read with GET."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	WriteProblem(w, r, problem(http.StatusNotFound, "path", "There is nothing at this address. The page is at /, the stream at /sse-stream."))
}
