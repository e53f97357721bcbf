// Package web is Weir's HTTP surface: the routes, the page, publishing, health,
// and what guards them. It knows the stream, and nothing of who observes it:
// telemetry is handed in as functions.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rs/cors"
	"golang.org/x/time/rate"

	"weir/stream"
)

// DefaultMaxBody is the largest body that publish takes, in bytes.
const DefaultMaxBody = 1 << 20

// Options configure a [Server].
type Options struct {
	// Hub and Stream are required. NewServer sets the handler's Admit and
	// Refuse.
	Hub    *stream.Hub
	Stream *stream.Handler

	// Limits bound what clients may take.
	Limits Limits
	// MaxBody is the largest body that publish takes, in bytes. Default:
	// DefaultMaxBody.
	MaxBody int64
	// Tokens say who may publish and subscribe. Default: nobody publishes,
	// everybody subscribes.
	Tokens *Tokens
	// CORSOrigins may read the stream and publish from a page of their own.
	// "*" stands for every origin.
	CORSOrigins []string
	// TrustedProxies may say who the client is.
	TrustedProxies TrustedProxies
	// Admin says that metrics, connection details, traces and profiles are
	// served by AdminHandler alone.
	Admin bool

	// Templates render the page. Default: the embedded ones.
	Templates *Templates
	// Version is shown on the page.
	Version string
	// JaegerUI returns the address of Jaeger's start page, or "" while there
	// is none. It must be quick. Default: none.
	JaegerUI func() string

	// Telemetry, each optional.

	// Instrument wraps a route other than the stream, and InstrumentStream the
	// stream.
	Instrument       func(route string, next http.Handler) http.Handler
	InstrumentStream func(next http.Handler) http.Handler
	// Metrics serves GET /metrics, and Browser POST /telemetry/browser.
	Metrics, Browser http.Handler
	// Journey tells the way of an event; a Missing says why there is none.
	// The event ID and the connection choose, where a trace has several.
	Journey func(traceID, eventID, connection string) Journey
	// Traceparent returns the trace context of the request for the page.
	Traceparent func(r *http.Request) string
	// Segments returns how many segments of a connection were exported.
	Segments func(connection string) int
	// Ready says why an event could not be kept, for /readyz. Default: nothing
	// is asked.
	Ready func(ctx context.Context) error
	// Cluster tells of every node's connections.
	Cluster func(ctx context.Context) (any, error)

	// Logger takes faults of the server. Default: slog.Default().
	Logger *slog.Logger
}

// A Server is the HTTP surface of one hub.
type Server struct {
	opts        Options
	started     time.Time
	gate        *gate
	publishRate rates
	ticketRate  rates
	cors        *cors.Cors
}

// NewServer returns the HTTP surface.
func NewServer(opts Options) (*Server, error) {
	if opts.Hub == nil || opts.Stream == nil {
		return nil, errors.New("web: a server needs a hub and a stream handler")
	}
	if opts.MaxBody <= 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Templates == nil {
		t, err := ParseTemplates(nil)
		if err != nil {
			return nil, err
		}
		opts.Templates = t
	}
	if opts.JaegerUI == nil {
		opts.JaegerUI = func() string { return "" }
	}
	if opts.Instrument == nil {
		opts.Instrument = func(_ string, next http.Handler) http.Handler { return next }
	}
	if opts.InstrumentStream == nil {
		opts.InstrumentStream = func(next http.Handler) http.Handler { return next }
	}
	var origins []string
	for _, list := range opts.CORSOrigins {
		some, err := ParseOrigins(list)
		if err != nil {
			return nil, fmt.Errorf("web: origin %.80q: %w", list, err)
		}
		origins = append(origins, some...)
	}
	s := &Server{
		opts: opts, started: time.Now(),
		gate:        newGate(opts.Limits, opts.TrustedProxies),
		ticketRate:  connectRates(opts.Limits),
		publishRate: rates{limit: rate.Limit(opts.Limits.PublishRate), burst: int(opts.Limits.PublishRate) + 1},
	}
	if len(origins) > 0 {
		s.cors = cors.New(cors.Options{
			AllowedOrigins: origins,
			AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
			AllowedHeaders: []string{"Authorization", "Content-Type", "Last-Event-ID", "Traceparent", "Cache-Control"},
			ExposedHeaders: []string{"Retry-After"},
			MaxAge:         600,
		})
	}
	opts.Stream.Admit = s.admit
	opts.Stream.Refuse = writeProblem
	return s, nil
}

// admit is the stream handler's: who may subscribe, then whether there is room.
func (s *Server) admit(r *http.Request) (func(), *stream.Refusal) {
	// The rate is counted before the token is looked at: it bounds guessing too.
	if refusal := s.gate.knock(r); refusal != nil {
		return nil, refusal
	}
	if refusal := s.maySubscribe(r); refusal != nil {
		return nil, refusal
	}
	return s.gate.enter(r)
}

// topicOf returns the topic that a request to read is about.
func (s *Server) topicOf(r *http.Request) string {
	if topic := r.URL.Query().Get("topic"); topic != "" {
		return topic
	}
	return s.firstTopic()
}

func (s *Server) firstTopic() string {
	if topics := s.opts.Hub.Topics(); len(topics) > 0 {
		return topics[0]
	}
	return ""
}

// Slots returns how many slots of the limits are taken, in all and by how many
// clients.
func (s *Server) Slots() (total, clients int) { return s.gate.open() }

// Handler returns the public routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(path string, h http.Handler) {
		mux.Handle(path, s.opts.Instrument(path, h))
	}
	route("/{$}", get(s.page))
	route("/assets/", get(s.asset))
	mux.Handle("/sse-stream", s.crossOrigin(s.stream(s.opts.InstrumentStream(s.opts.Stream))))
	mux.Handle("/publish", s.crossOrigin(s.opts.Instrument("/publish", http.HandlerFunc(s.publish))))
	mux.Handle("/ticket", s.crossOrigin(s.opts.Instrument("/ticket", http.HandlerFunc(s.mint))))
	mux.Handle("/sse-health", s.crossOrigin(s.opts.Instrument("/sse-health", getHandler(s.health(!s.opts.Admin)))))
	mux.Handle("/sse-metrics", s.crossOrigin(s.opts.Instrument("/sse-metrics", get(s.metrics))))
	route("/livez", get(livez))
	route("/readyz", get(s.readyz))
	if s.opts.Browser != nil {
		route("/telemetry/browser", s.opts.Browser)
	}
	if !s.opts.Admin {
		s.adminRoutes(mux)
	}
	mux.Handle("/", s.opts.Instrument("/", http.HandlerFunc(notFound)))
	return secure(mux)
}

// AdminHandler returns the routes for operators: profiles, and what Handler
// leaves out when Options.Admin is set.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	s.adminRoutes(mux)
	mux.Handle("/sse-health", s.opts.Instrument("/sse-health", getHandler(s.health(true))))
	mux.Handle("/sse-metrics", s.opts.Instrument("/sse-metrics", get(s.metrics)))
	mux.Handle("/livez", get(livez))
	mux.Handle("/readyz", get(s.readyz))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/", notFound)
	return secure(mux)
}

func (s *Server) adminRoutes(mux *http.ServeMux) {
	if s.opts.Metrics != nil {
		mux.Handle("/metrics", s.opts.Instrument("/metrics", getHandler(s.opts.Metrics)))
	}
	if s.opts.Journey != nil {
		mux.Handle("/traces/{trace_id}", s.opts.Instrument("/traces/{trace_id}", get(s.journey)))
	}
}

// stream refuses what the stream's handler cannot know of.
func (s *Server) stream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			// It takes no slot, but must not tell what GET would refuse to.
			if refusal := s.maySubscribe(r); refusal != nil {
				writeProblem(w, r, refusal)
				return
			}
		}
		if r.Method == http.MethodGet && r.ContentLength != 0 {
			// A body means nothing here. It is read off, so that the deadline
			// for it does not meet the open stream.
			if n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxStreamBody+1)); err != nil || n > maxStreamBody {
				writeProblem(w, r, problem(http.StatusBadRequest, "body", "A request for a stream has no body."))
				return
			}
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		next.ServeHTTP(w, r)
	})
}

// maxStreamBody is how large a body is passed over that a GET should not have.
const maxStreamBody = 4 << 10

func get(f http.HandlerFunc) http.Handler { return getHandler(f) }

// getHandler refuses what is neither GET nor HEAD.
func getHandler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, r, problem(http.StatusMethodNotAllowed, "method", "This address is read with GET."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, r, problem(http.StatusNotFound, "path", "There is nothing at this address. The page is at /, the stream at /sse-stream."))
}

// crossOrigin lets the listed origins in; without a list, none.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if s.cors == nil {
		return next
	}
	return s.cors.Handler(next)
}

const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// bodyTimeout is how long the body of a request may take to arrive.
const bodyTimeout = 30 * time.Second

// secure puts the security headers on every answer. And it bounds how long a
// body may take to arrive, on every route: net/http reads off a body that the
// handler did not want, and would wait for it for ever.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every test's writer can
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	topics := s.opts.Hub.Topics()
	p := Page{
		Topics: topics, Topic: s.firstTopic(), Node: s.opts.Stream.Node, Version: s.opts.Version, JaegerUI: s.opts.JaegerUI(),
		HeartbeatMS: orDefault(s.opts.Stream.Heartbeat, stream.DefaultHeartbeat).Milliseconds(),
		RetryMS:     orDefault(s.opts.Stream.Retry, stream.DefaultRetry).Milliseconds(),
		HasAssets:   HasAssets(), NoDetails: s.opts.Admin,
	}
	if asked := r.URL.Query().Get("topic"); asked != "" {
		for _, t := range topics {
			if t == asked {
				p.Topic = t
			}
		}
	}
	if s.opts.Traceparent != nil {
		p.Traceparent = s.opts.Traceparent(r)
	}
	s.html(w, r, http.StatusOK, func(b *bytes.Buffer) error { return s.opts.Templates.Page(b, p) })
}

// html renders to a buffer first, so that a failure does not leave half a page.
func (s *Server) html(w http.ResponseWriter, r *http.Request, status int, render func(*bytes.Buffer) error) {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		s.opts.Logger.ErrorContext(r.Context(), "rendering failed", "path", r.URL.Path, "error", err)
		writeProblem(w, r, problem(http.StatusInternalServerError, "internal", "The server could not render this; its log says why."))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// asset serves a built file. The names carry no version, so the browser asks
// each time whether its copy is current.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/assets/")
	if name == "" || strings.HasSuffix(name, "/") || strings.HasPrefix(name, ".") {
		notFound(w, r)
		return
	}
	tag, known := assetTags()[name]
	if !known {
		notFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", tag)
	http.ServeFileFS(w, r, Dist, name)
}

var traceIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// journey is GET /traces/{trace_id}. The page shows every answer in its panel,
// so that also "there is none" is a fragment.
func (s *Server) journey(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("trace_id")
	if !traceIDForm.MatchString(id) {
		writeProblem(w, r, problem(http.StatusBadRequest, "trace_id", "A trace ID is 32 lower-case hexadecimal digits."))
		return
	}
	query := r.URL.Query()
	j := s.opts.Journey(id, query.Get("event"), query.Get("connection"))
	j.TraceID = id
	if ui := s.opts.JaegerUI(); ui != "" {
		if link, err := url.JoinPath(ui, "trace", id); err == nil {
			j.JaegerURL = link
		}
	}
	status := http.StatusOK
	if j.Missing != "" {
		status = http.StatusNotFound
	}
	s.html(w, r, status, func(b *bytes.Buffer) error { return s.opts.Templates.Journey(b, j) })
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}
