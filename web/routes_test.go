package web_test

import (
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"weir/stream"
	"weir/telemetry/journey"
	"weir/web"
)

// The assets of a checkout in which none were built are not enough for a test.
func init() {
	web.SetDist(overlay{web.Dist(), fstest.MapFS{
		"test.txt":    {Data: []byte("tested")},
		"test.css":    {Data: []byte("as it is")},
		"test.css.br": {Data: []byte("as br")},
		"test.css.gz": {Data: []byte("as gzip")},
		".test-keep":  {Data: []byte("hidden")},
	}})
}

type overlay struct {
	fs.FS
	extra fstest.MapFS
}

func (o overlay) Open(name string) (fs.File, error) {
	if o.extra[name] != nil {
		return o.extra.Open(name)
	}
	return o.FS.Open(name)
}

func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(o.FS, name)
	if name == "." && err == nil {
		var more []fs.DirEntry
		more, err = o.extra.ReadDir(name)
		list = append(list, more...)
	}
	return list, err
}

func full(o *web.Options) {
	o.Observe.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("metrics")) })
	o.Observe.Browser = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "refused", http.StatusForbidden) })
	o.Observe.Traces = fakeTraces{}
	o.Observe.Traceparent = func(*http.Request) string { return traceparent }
	o.Access.CORSOrigins = []string{friend}
}

var requests = []struct {
	method, target string
	status         int
	allow          string
}{
	{"GET", "/", 200, ""},
	{"HEAD", "/", 200, ""},
	{"GET", "/?topic=two", 200, ""},
	{"POST", "/", 405, "GET, HEAD"},
	{"GET", "/nothing", 404, ""},
	{"POST", "/nothing", 404, ""},
	{"GET", "/index.html", 404, ""},
	{"GET", "/.git/config", 404, ""},
	{"GET", "/publish/", 404, ""},
	{"GET", "//", 307, ""},
	{"GET", "/a/../assets/test.txt", 307, ""},
	{"GET", "/assets", 307, ""},
	{"GET", "/assets/", 404, ""},
	{"GET", "/assets/test.txt", 200, ""},
	{"HEAD", "/assets/test.txt", 200, ""},
	{"POST", "/assets/test.txt", 405, "GET, HEAD"},
	{"GET", "/assets/none.js", 404, ""},
	{"HEAD", "/sse-stream", 200, ""},
	{"POST", "/sse-stream", 405, "GET, HEAD"},
	{"GET", "/sse-stream?topic=none", 404, ""},
	{"GET", "/sse-stream?format=xml", 400, ""},
	{"GET", "/publish", 405, "POST, PUT"},
	{"POST", "/publish?topic=one", 403, ""},
	{"GET", "/ticket", 405, "POST, DELETE"},
	{"POST", "/ticket", 404, ""},
	{"GET", "/sse-health", 200, ""},
	{"HEAD", "/sse-health", 200, ""},
	{"DELETE", "/sse-health", 405, "GET, HEAD"},
	{"GET", "/sse-health?connection=none", 200, ""},
	{"GET", "/sse-metrics", 200, ""},
	{"PUT", "/sse-metrics", 405, "GET, HEAD"},
	{"GET", "/livez", 200, ""},
	{"POST", "/livez", 405, "GET, HEAD"},
	{"GET", "/readyz", 200, ""},
	{"POST", "/readyz", 405, "GET, HEAD"},
	{"POST", "/telemetry/browser", 403, ""},
	{"GET", "/metrics", 200, ""},
	{"POST", "/metrics", 405, "GET, HEAD"},
	{"GET", "/traces", 200, ""},
	{"GET", "/traces?topic=one&min=50ms&limit=3&sort=slowest", 200, ""},
	{"GET", "/traces?min=50", 400, ""},
	{"GET", "/traces?limit=0", 400, ""},
	{"GET", "/traces?sort=up", 400, ""},
	{"POST", "/traces", 405, "GET, HEAD"},
	{"GET", "/traces/" + strings.Repeat("a", 32), 200, ""},
	{"GET", "/traces/" + strings.Repeat("0", 32), 404, ""},
	{"GET", "/traces/" + strings.Repeat("A", 32), 400, ""},
	{"GET", "/traces/x", 400, ""},
	{"GET", "/traces/", 404, ""},
	{"POST", "/traces/" + strings.Repeat("a", 32), 405, "GET, HEAD"},
	{"GET", "/debug/pprof/", 404, ""}, // on the admin listener alone
	{"OPTIONS", "/sse-stream", 405, "GET, HEAD"},
	{"OPTIONS", "/livez", 405, "GET, HEAD"},
	{"BREW", "/livez", 405, "GET, HEAD"},
}

var securityHeaders = map[string]string{
	"Content-Security-Policy":    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":     "nosniff",
	"Referrer-Policy":            "no-referrer",
	"Cross-Origin-Opener-Policy": "same-origin",
}

func wantSecure(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range securityHeaders {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
}

func TestRoutes(t *testing.T) {
	s := newSite(t, full)
	for _, tc := range requests {
		w := s.do(tc.method, tc.target, "")
		what := tc.method + " " + tc.target
		if w.Code != tc.status || w.Header().Get("Allow") != tc.allow {
			t.Errorf("%s: status %d, Allow %q; want %d, %q", what, w.Code, w.Header().Get("Allow"), tc.status, tc.allow)
		}
		wantSecure(t, what, w.Header())
		own := strings.HasPrefix(tc.target, "/telemetry") || tc.status == 307 || strings.HasPrefix(tc.target, "/traces/0")
		if w.Code >= 400 && !own {
			wantProblem(t, w, tc.status, "")
		}
		if w.Code == 307 {
			if to, err := url.Parse(w.Header().Get("Location")); err != nil || to.Host != "" {
				t.Errorf("%s leads to %q", what, w.Header().Get("Location"))
			}
		}
	}
	// Preflights, both transports' streams and the admin listener, too.
	wantSecure(t, "preflight", s.do("OPTIONS", "/publish", "", "Origin", friend, "Access-Control-Request-Method", "POST").Header())
	admin := s.server.AdminHandler()
	for _, target := range []string{"/", "/metrics", "/sse-health", "/sse-metrics", "/livez", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/nothing", "/traces/x"} {
		wantSecure(t, "admin "+target, ask(admin, adminRequest("GET", target)).Header())
	}
	wantSecure(t, "an asset", s.do("GET", "/assets/test.txt", "").Header())
	for _, transport := range []stream.Transport{stream.TransportLean, stream.TransportPlain} {
		s := newSite(t, func(o *web.Options) { o.Stream.Transport = transport })
		sub := subscribe(t, s.listen().URL+"/sse-stream")
		wantSecure(t, "stream by "+string(transport), sub.resp.Header)
		if ct := sub.resp.Header.Get("Content-Type"); ct != "text/event-stream; charset=utf-8" {
			t.Errorf("Content-Type %q", ct)
		}
	}
}

func TestAdminMovesRoutes(t *testing.T) {
	s := newSite(t, func(o *web.Options) { full(o); o.Admin = true })
	admin := s.server.AdminHandler()
	trace := "/traces/" + strings.Repeat("a", 32)
	for _, target := range []string{"/metrics", trace, "/debug/pprof/", "/debug/pprof/goroutine?debug=1"} {
		wantProblem(t, s.do("GET", target, ""), 404, "nothing at this address")
		if w := ask(admin, adminRequest("GET", target)); w.Code != 200 {
			t.Errorf("admin %s: %d", target, w.Code)
		}
	}
	for _, target := range []string{"/sse-stream", "/publish", "/ticket"} {
		if w := ask(admin, adminRequest("GET", target)); w.Code != 404 {
			t.Errorf("admin %s: %d", target, w.Code)
		}
	}
	for _, target := range []string{"/sse-health", "/sse-metrics", "/livez", "/readyz"} {
		if w := ask(admin, adminRequest("GET", target)); w.Code != 200 {
			t.Errorf("admin %s: %d", target, w.Code)
		}
		if w := s.do("GET", target, ""); w.Code != 200 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if w := ask(admin, adminRequest("POST", "/sse-health")); w.Code != 405 {
		t.Errorf("admin POST: %d", w.Code)
	}
}

func TestProblemNegotiation(t *testing.T) {
	s := newSite(t, nil)
	for accept, text := range map[string]bool{
		"":    false,
		"*/*": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"text/plain":                           true,
		"TEXT/HTML":                            true,
		"application/json":                     false,
		"application/problem+json, text/plain": false,
		"text/event-stream":                    false,
	} {
		w := s.do("GET", "/nothing", "", "Accept", accept)
		if got := w.Header().Get("Content-Type") == "text/plain; charset=utf-8"; got != text {
			t.Errorf("%q gets %s", accept, w.Header().Get("Content-Type"))
		}
		if !varies(w.Header(), "Accept") {
			t.Errorf("Vary %q", w.Header().Values("Vary"))
		}
	}
	if w := s.do("GET", "/sse-stream", "", "Accept", "image/png"); w.Code != 406 {
		t.Errorf("status %d", w.Code)
	} else {
		wantProblem(t, w, 406, "text/event-stream")
	}
}

func TestAssets(t *testing.T) {
	s := newSite(t, nil)
	w := s.do("GET", "/assets/test.txt", "")
	if h := w.Header(); w.Body.String() != "tested" || !strings.Contains(h.Get("Cache-Control"), "immutable") || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") || h.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%q %v", w.Body, h)
	}
	for accepted, want := range map[string]string{"gzip": "gzip", "gzip, br": "br", "br;q=0, gzip;q=0.5": "gzip", "identity": "", "": ""} {
		w := s.do("GET", "/assets/test.css", "", "Accept-Encoding", accepted)
		if got := w.Header().Get("Content-Encoding"); got != want || w.Body.String() != map[string]string{"br": "as br", "gzip": "as gzip", "": "as it is"}[want] {
			t.Errorf("Accept-Encoding %q: %q %q", accepted, got, w.Body)
		}
	}
	server := s.listen() // paths as they come over the wire
	for _, path := range []string{
		"/assets/.keep", "/assets/manifest.json", "/assets/test.css.br", "/assets/.test-keep", "/assets/./.keep", "/assets/../web/server.go", "/assets/%2e%2e/templates/index.html", "/assets/..%2ftemplates%2findex.html",
		"/assets/..%5c..%5cgo.mod", "/assets//etc/passwd", "/assets/%2fetc%2fpasswd", "/assets/test.txt/", "/assets/test.txt%00", "/assets/test.txt/..", "/assets/TEST.txt",
		"/assets/" + strings.Repeat("../", 50) + "etc/passwd", "/assets/" + strings.Repeat("a/", 4000),
	} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%.80s: %d", path, resp.StatusCode)
		}
	}
}

func TestPageSaysNothingOfTheQuery(t *testing.T) {
	s := newSite(t, full)
	w := s.do("GET", "/?topic=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&x=%3Cb%3E", "")
	if w.Code != 200 || strings.Contains(w.Body.String(), "alert(1)") || strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("%d: the query is on the page", w.Code)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("the page may be stored, with its trace context")
	}
	w = s.do("GET", "/traces/"+strings.Repeat("a", 32)+"?event=%3Cscript%3E", "")
	if strings.Contains(w.Body.String(), "<script>") {
		t.Error("the query is on the page")
	}
	w = s.do("GET", "/traces/"+strings.Repeat("0", 32), "")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "Nothing is known") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNewServerNeedsParts(t *testing.T) {
	if _, err := web.NewServer(web.Options{}); err == nil {
		t.Error("a server without a hub")
	}
}

// fakeTraces know every trace whose ID does not begin with 0.
type fakeTraces struct{}

func (fakeTraces) Journey(q journey.Query) (journey.Journey, error) {
	if strings.HasPrefix(q.TraceID, "0") {
		return journey.Journey{}, journey.ErrNotHeld
	}
	return journey.Journey{Event: journey.Event{Topic: "one", ID: q.EventID}}, nil
}

func (fakeTraces) Recent(q journey.ListQuery) []journey.Summary {
	return []journey.Summary{{Journey: journey.Journey{Event: journey.Event{Topic: "one", ID: "1-0", Subject: "<b>"}, Total: 60 * time.Millisecond}, Last: journey.Process}}
}

func (f fakeTraces) Slowest(q journey.ListQuery) []journey.Summary { return f.Recent(q) }

func (fakeTraces) HeldOf(func(topic, subject string) bool) int { return 1 }

func (fakeTraces) Held() (int, int, time.Time) { return 1, 100, time.Unix(0, 0) }

// An answer of 405 names every method that Allow does; HEAD goes without saying.
func TestRefusedMethodsNameTheOthers(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/", "/publish", "/t/one", "/ticket", "/sse-health"} {
		w := s.do("PATCH", path, "", "Accept", "text/plain")
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, w.Code)
		}
		for method := range strings.SplitSeq(w.Header().Get("Allow"), ", ") {
			if method != http.MethodHead && !strings.Contains(w.Body.String(), method) {
				t.Errorf("%s allows %s, and tells: %s", path, w.Header().Get("Allow"), w.Body)
			}
		}
	}
}
