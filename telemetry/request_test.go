package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"

	"weir/stream"
	"weir/telemetry"
)

func TestMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		var page string
		mux := http.NewServeMux()
		mux.Handle("/{$}", r.tel.Middleware("/{$}", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { page = r.tel.PageTraceparent(req) })))
		mux.Handle("/things/{id}", r.tel.Middleware("/things/{id}", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.PathValue("id") != "7" {
				t.Errorf("the path value is %q", req.PathValue("id"))
			}
			w.WriteHeader(http.StatusInternalServerError)
		})))
		serve(mux, "GET", "/", http.Header{"Traceparent": {foreign}})
		serve(mux, "GET", "/things/7", nil)
		for range 500 { // a flood
			serve(mux, "GET", "/", http.Header{"Traceparent": {foreign}})
		}
		r.close()
		spans := r.ended()
		if len(spans) != 10 {
			t.Errorf("502 requests at once made %d spans", len(spans))
		}
		s := spans[0]
		if s.Name() != "GET /" || attr(s, "http.route").AsString() != "/" || s.SpanContext().TraceID().String() == foreignTrace || len(s.Links()) != 1 ||
			s.Links()[0].SpanContext.TraceID().String() != foreignTrace {
			t.Errorf("span %s %v", s.Name(), s.Attributes())
		}
		if s := spans[1]; s.Name() != "GET /things/{id}" || attr(s, "http.response.status_code").AsInt64() != 500 ||
			attr(s, "error.type").AsString() != "500" || s.Status().Code != codes.Error || spans[0].Status().Code == codes.Error || attr(spans[0], "error.type").AsString() != "" {
			t.Errorf("span %s %v", s.Name(), s.Attributes())
		}
		if page != "" { // the last one was beyond the limit
			t.Errorf("the traceparent of a request that is not sampled is %q", page)
		}
		r.expect("http.server.request.duration", "http.request.method=GET,http.response.status_code=200,http.route=/,network.protocol.version=1.1,url.scheme=http", 501)
	})
}

// TestQuietRoutes: scrapes and health checks have no traces, but are measured.
func TestQuietRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		for _, path := range []string{"/metrics", "/livez", "/readyz", "/sse-health", "/sse-metrics", "/telemetry/browser", "/traces"} {
			serve(r.tel.Middleware(path, http.NotFoundHandler()), "GET", path, http.Header{"Traceparent": {foreign}})
			r.expect("http.server.request.duration", "http.request.method=GET,http.response.status_code=404,http.route="+path+",network.protocol.version=1.1,url.scheme=http", 1)
		}
		r.close()
		if n := len(r.ended()); n != 0 {
			t.Errorf("%d spans:\n%s", n, r.tree())
		}
	})
}

// TestNoRequestIsChanged: what a middleware before this one holds is as it was.
func TestNoRequestIsChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		req := httptest.NewRequest("GET", "/", nil)
		before := *req
		r.tel.Middleware("/", http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), req)
		if req.Context() != before.Context() || req.Pattern != before.Pattern {
			t.Error("the request was changed in place")
		}
		r.close()
	})
}

func TestPageTraceparent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		var page string
		serve(r.tel.Middleware("/", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { page = r.tel.PageTraceparent(req) })), "GET", "/", nil)
		r.close()
		sc := r.ended()[0].SpanContext()
		if !strings.HasPrefix(page, "00-"+sc.TraceID().String()+"-"+sc.SpanID().String()+"-") {
			t.Errorf("the traceparent is %q", page)
		}
	})
}

// TestWritesReachTheNetwork: the middleware hides nothing of the writer that a
// stream needs.
func TestWritesReachTheNetwork(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tel.Middleware("/sse-stream", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		conn, _, err := rc.Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		_ = conn.Close()
	})))
	defer server.Close()
	if resp, err := http.Get(server.URL); err == nil {
		_ = resp.Body.Close()
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
