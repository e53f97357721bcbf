package web_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
	"weir/stream/streamtest"
	"weir/web"
)

// A site is a server with the topics "one" and "two".
type site struct {
	t       testing.TB
	hub     *stream.Hub
	handler *stream.Handler
	server  *web.Server
	public  http.Handler
}

// newSite makes a server without a network; change, if any, changes its
// options.
func newSite(t testing.TB, change func(*web.Options)) *site {
	t.Helper()
	return newSiteOn(t, stream.HubOptions{}, change)
}

func newSiteOn(t testing.TB, hubOpts stream.HubOptions, change func(*web.Options)) *site {
	t.Helper()
	tpl := templates(t)
	hubOpts.Formats = map[stream.Format]stream.Formatter{"html": tpl.AppendEvent}
	if hubOpts.Logger == nil {
		hubOpts.Logger = slog.New(slog.DiscardHandler)
	}
	hub := stream.NewHub(hubOpts)
	t.Cleanup(hub.Close)
	for _, topic := range []string{"one", "two"} {
		if err := hub.AddTopic(topic); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{t: t, hub: hub, handler: &stream.Handler{Hub: hub, Node: "node-1"}}
	opts := web.Options{Hub: hub, Stream: s.handler, Page: web.PageOptions{Templates: tpl}, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&opts)
	}
	var err error
	if s.server, err = web.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	s.handler.Subscribe, s.handler.Refuse = s.server.Subscribe, s.server.Refuse
	s.public = s.server.Handler()
	return s
}

// do answers one request. The header is name, value, name, value.
func (s *site) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return ask(s.public, newRequest(method, target, body, header...))
}

func newRequest(method, target, body string, header ...string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// adminRequest is addressed as the admin listener is: by a loopback name.
func adminRequest(method, target string) *http.Request {
	r := newRequest(method, target, "")
	r.Host = "127.0.0.1:9090"
	return r
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// glance opens a stream whose client leaves at once.
func (s *site) glance(target string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.glanceFrom("192.0.2.1:1234", target, header...)
}

func (s *site) glanceFrom(addr, target string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := newRequest("GET", target, "", header...).WithContext(ctx)
	r.RemoteAddr = addr
	return ask(s.public, r)
}

type problemDetail struct {
	Type, Title, Detail, Reason string
	Status                      int
}

// wantProblem checks a refusal, and that it says so the same way for programs.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int, says string) problemDetail {
	t.Helper()
	var p problemDetail
	if w.Code != status {
		t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
		return p
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Errorf("%v: %s", err, w.Body)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Status != status || p.Reason == "" || !strings.Contains(p.Detail, says) {
		t.Errorf("problem %+v, want status %d and %q", p, status, says)
	}
	return p
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return v
}

// entries returns how many events a topic holds.
func (s *site) entries(topic string) int { return s.hub.Health()[topic].Log.Entries }

// held returns the data of what a topic holds, as CloudEvents.
func (s *site) held(topic string) []string {
	s.t.Helper()
	log, err := s.hub.Reader(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for c := log.From(stream.ID{}); len(all) < s.entries(topic); {
		batch, err := c.Next(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range batch {
			all = append(all, string(e.Event.Data))
		}
	}
	return all
}

// listen serves over a real socket.
func (s *site) listen() *httptest.Server {
	server := httptest.NewUnstartedServer(s.public)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.handler.Drain(ctx, 0); err != nil {
			s.t.Errorf("%d connections are left", s.handler.Active())
		}
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// A subscription is a stream that is being read.
type subscription struct {
	*sse.Decoder
	resp  *http.Response
	hello struct {
		Connection, Topic, Node, Position string
		Resumed                           bool
		LastEventID                       string `json:"last_event_id"`
	}
	close func()
}

func subscribe(t testing.TB, url string, header ...string) *subscription {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscription{Decoder: sse.NewDecoder(resp.Body), resp: resp, close: sync.OnceFunc(func() { cancel(); resp.Body.Close() })}
	t.Cleanup(s.close)
	if resp.StatusCode != 200 {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	m, err := s.Next()
	if err != nil || m.Event != "connected" {
		t.Fatalf("first event %q: %v", m.Event, err)
	}
	if err := json.Unmarshal(m.Data, &s.hello); err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits for a condition, and fails after a long time.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("waited in vain for %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond) // between two looks, not in place of one
	}
}

// dial connects to a server in memory.
func dial(t *testing.T, l *streamtest.Listener) net.Conn {
	t.Helper()
	conn, err := l.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
