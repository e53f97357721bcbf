// Package web is Weir's HTTP surface: the routes, the page, publishing, health,
// and what guards them. It knows the stream and the journeys of events, and
// nothing of OpenTelemetry: telemetry is handed in as functions.
package web

import (
	"errors"
	"math"
	"net/http"
	"net/http/pprof"
	"time"
	"weir/web/limits"

	"github.com/rs/cors"
)

// A Server is the HTTP surface of one hub.
type Server struct {
	opts    Options
	started time.Time
	cors    *cors.Cors

	slots                                *limits.Slots // open streams
	connectRate, ticketRate, publishRate *limits.Rates
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
		slots:       limits.NewSlots(opts.Limits.Conns, opts.Limits.ConnsPerClient),
		connectRate: connects(),
		ticketRate:  connects(),
		publishRate: limits.NewRates(opts.Limits.PublishRate, int(opts.Limits.PublishRate)+1),
	}
	s.cors, err = newCORS(opts.Access.CORSOrigins)
	return s, err
}

// Slots returns how many slots of the limits are taken, in all and by how many
// clients.
func (s *Server) Slots() (total, clients int) { return s.slots.Taken() }

// Handler returns the public routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(path string, h http.Handler) {
		mux.Handle(path, s.opts.Observe.Instrument(path, h))
	}
	route("/{$}", get(s.page))
	route("/assets/", get(s.asset))
	mux.Handle("/sse-stream", s.crossOrigin(s.stream(s.opts.Observe.InstrumentStream(s.opts.Stream))))
	mux.Handle("/publish", s.crossOrigin(s.opts.Observe.Instrument("/publish", http.HandlerFunc(s.publish))))
	mux.Handle("/ticket", s.crossOrigin(s.opts.Observe.Instrument("/ticket", http.HandlerFunc(s.ticket))))
	mux.Handle("/sse-health", s.crossOrigin(s.opts.Observe.Instrument("/sse-health", getHandler(s.health(!s.opts.Admin)))))
	mux.Handle("/sse-metrics", s.crossOrigin(s.opts.Observe.Instrument("/sse-metrics", get(s.metrics))))
	route("/livez", get(livez))
	route("/readyz", get(s.readyz))
	if s.opts.Observe.Browser != nil {
		route("/telemetry/browser", s.opts.Observe.Browser)
	}
	if !s.opts.Admin {
		s.adminRoutes(mux)
	}
	mux.Handle("/", s.opts.Observe.Instrument("/", http.HandlerFunc(notFound)))
	return secure(mux)
}

// AdminHandler returns the routes for operators: profiles, and what Handler
// leaves out when Options.Admin is set.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	s.adminRoutes(mux)
	mux.Handle("/sse-health", s.opts.Observe.Instrument("/sse-health", getHandler(s.health(true))))
	mux.Handle("/sse-metrics", s.opts.Observe.Instrument("/sse-metrics", get(s.metrics)))
	mux.Handle("/livez", get(livez))
	mux.Handle("/readyz", get(s.readyz))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/", notFound)
	return secure(mux)
}

func (s *Server) adminRoutes(mux *http.ServeMux) {
	if s.opts.Observe.Metrics != nil {
		mux.Handle("/metrics", s.opts.Observe.Instrument("/metrics", getHandler(s.opts.Observe.Metrics)))
	}
	if s.opts.Observe.Traces != nil {
		mux.Handle("/traces", s.opts.Observe.Instrument("/traces", get(s.traces)))
		mux.Handle("/traces/{trace_id}", s.opts.Observe.Instrument("/traces/{trace_id}", get(s.journey)))
	}
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

func orDefault(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}
