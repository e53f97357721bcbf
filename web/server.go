// Package web is Weir's HTTP surface: the routes, the page, publishing, health,
// and what guards them. It knows the stream and the journeys of events, and
// nothing of OpenTelemetry: telemetry is handed in as functions.
package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"weir/stream"
	"weir/web/limits"
)

// A Server is the HTTP surface of one hub.
type Server struct {
	// The parts that answer know the gate, and not the Server. It makes them, and says
	// which route is whose.
	opts    Options
	sockets *limits.Sockets
	sharing *sharing

	gate      *gate
	admission *admission
	away      *turnedAway

	publishing *publishHandler
	tickets    *ticketHandler
	page       *pageHandler
	health     *healthHandler
	ready      *readiness
	metrics    *metricsHandler
	traces     *tracesHandler
	picture    *picture
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
	sharing, err := newSharing(opts.Access.CORSOrigins)
	if err != nil {
		return nil, err
	}
	bounds, hub, streams, logger := opts.Limits, opts.Hub, opts.Stream, opts.Logger
	slow := func(rates *limits.Rates, reason, detail string) *throttle {
		return &throttle{rates: rates, proxies: bounds.Proxies, reason: reason, detail: detail}
	}
	gate := &gate{rights: opts.Access.Rights, play: opts.Access.Play, admin: opts.Admin, topics: hub.Topics, demands: opts.Page.Demands, visits: slow(
		connectRates(bounds.ConnectRate), rejectConnectRate, "Too many requests with a token came from your address within a short time. Wait a moment.")}
	log := &digest{logger: logger}
	away := &turnedAway{count: opts.Observe.TurnedAway, log: log, proxies: bounds.Proxies}
	s := &Server{
		opts: opts, sharing: sharing, gate: gate, away: away,
		sockets: limits.NewSockets(bounds.Sockets, bounds.SocketsPerClient, bounds.Proxies),
		admission: &admission{
			gate: gate, slots: limits.NewSlots(bounds.Conns, bounds.ConnsPerClient), perClient: bounds.ConnsPerClient, proxies: bounds.Proxies,
			connects: slow(connectRates(bounds.ConnectRate), rejectConnectRate, "Too many streams were opened from your address within a short time. Wait a moment."),
		},
		publishing: &publishHandler{
			hub: hub, gate: gate, maxBody: bounds.MaxBody, observed: opts.Observe.Publisher, away: away, log: log,
			requests: slow(limits.NewRates(bounds.PublishRate, int(bounds.PublishRate)+1), rejectPublishRate, "Too many requests to publish came from your address. Send several events in one request, as application/x-ndjson."),
		},
		tickets: &ticketHandler{gate: gate, asks: slow(
			connectRates(bounds.ConnectRate), rejectConnectRate, "Too many tickets were asked for from your address within a short time. Wait a moment.")},
		page:    &pageHandler{opts: opts.Page, hub: hub, streams: streams, gate: gate, traceparent: opts.Observe.Traceparent, logger: logger},
		ready:   &readiness{hub: hub, streams: streams, kept: opts.Observe.Ready, logger: logger},
		metrics: &metricsHandler{streams: streams, started: time.Now()},
		picture: newPicture(hub, streams, gate, logger),
	}
	s.sockets.TurnedAway = away.socket
	s.health = &healthHandler{hub: hub, streams: streams, gate: gate, ready: s.ready, segments: opts.Observe.Segments, cluster: opts.Observe.Cluster}
	s.traces = &tracesHandler{
		traces: opts.Observe.Traces, gate: gate, streams: streams, page: s.page,
		templates: opts.Page.Templates, jaegerUI: opts.Page.JaegerUI, logger: logger,
	}
	return s, nil
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

// Subscribe decides what a request reads: first how often its client asks, then
// whether it may read that, then whether there is room. It is the stream
// handler's Subscribe.
func (s *Server) Subscribe(r *http.Request) (*stream.Subscription, error) {
	return s.admission.subscribe(r)
}

// Refuse answers a request that gets no stream. It is the stream handler's
// Refuse: where everybody may know the topics, it names them.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, refusal *stream.Refusal) {
	s.admission.refuse(w, r, refusal)
}

// EndRevoked ends the streams whose right to read has gone. It is called after
// [rights.Rights.Reload].
func (s *Server) EndRevoked() {
	end := func() {
		s.admission.endRevoked(s.opts.Stream.Conns())
		s.picture.endRevoked()
	}
	end()
	// A stream that was admitted a moment before may not be in the list yet.
	time.AfterFunc(revokeAgain, end)
}

// revokeAgain is longer than it takes to begin a stream.
const revokeAgain = 5 * time.Second

// Handler returns the public routes.
func (s *Server) Handler() http.Handler {
	streams := withoutBody(s.opts.Stream)
	m := s.newRoutes()
	m.stream("/sse-stream", streams)
	m.topic(s.publishing, s.page, streams)
	m.own("/{$}", get(s.page))
	m.own("/assets/", get(http.HandlerFunc(asset)))
	m.shared("/publish", s.publishing)
	m.shared("/ticket", s.tickets)
	m.shared("/sse-health", get(s.gate.visit(s.health.serve)))
	m.shared("/sse-metrics", get(s.metrics))
	m.probe("/livez", get(http.HandlerFunc(livez)))
	m.probe("/readyz", get(s.ready))
	if s.opts.Observe.Browser != nil {
		m.own("/telemetry/browser", s.opts.Observe.Browser)
	}
	if !s.opts.Admin {
		s.operatorRoutes(m)
	}
	m.own("/", http.HandlerFunc(notFound))
	var h http.Handler = m.mux
	if s.opts.Access.Play {
		h = playground(s.away, h)
	}
	if hosts := s.opts.Access.Hosts; hosts.Loopback || s.opts.Access.Play {
		h = hosts.guard(false, s.away, h)
	}
	return secure(h)
}

// AdminHandler returns the routes for operators: profiles, and what Handler
// leaves out when Options.Admin is set. The command line is not among them:
// tokens may stand there.
func (s *Server) AdminHandler() http.Handler {
	m := s.newRoutes()
	s.operatorRoutes(m)
	m.own("/sse-health", get(s.gate.visit(s.health.serve)))
	m.own("/sse-metrics", get(s.metrics))
	m.probe("/livez", get(http.HandlerFunc(livez)))
	m.probe("/readyz", get(s.ready))
	m.plain("/debug/pprof/", ownPages(pprof.Index))
	m.plain("/debug/pprof/cmdline", notFound)
	m.plain("/debug/pprof/profile", ownPages(pprof.Profile))
	m.plain("/debug/pprof/symbol", pprof.Symbol)
	m.plain("/debug/pprof/trace", ownPages(pprof.Trace))
	// The page is here too, with the views for operators alone.
	m.own("/{$}", get(s.page))
	m.own("/assets/", get(http.HandlerFunc(asset)))
	m.plain("/", notFound)
	return secure(s.opts.Access.Hosts.guard(true, s.away, asAdmin(m.mux)))
}

// operatorRoutes are on the admin listener where there is one.
func (s *Server) operatorRoutes(m routes) {
	m.mux.Handle("/streams", get(streamsAddress(m.answers.bound(m.instrument("/streams", s.page)), s.picture)))
	if metrics := s.opts.Observe.Metrics; metrics != nil {
		m.own("/metrics", get(s.gate.visit(forAllTopics(metrics))))
	}
	if s.opts.Observe.Traces != nil {
		m.own("/traces", get(s.gate.visit(s.traces.list)))
		m.own("/traces/{trace_id}", get(s.gate.visit(s.traces.journey)))
	}
}

func (s *Server) newRoutes() routes {
	slots := limits.NewSlots(s.opts.Limits.Requests, s.opts.Limits.RequestsPerClient)
	return routes{http.NewServeMux(), answers{slots, s.opts.Limits.Proxies, s.away}, s.sharing, s.opts.Observe.Instrument}
}
