package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/stream"
	"weir/telemetry"
)

func TestMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		var page string
		mux := http.NewServeMux()
		mux.Handle("/{$}", r.tel.Middleware("/{$}", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { page = r.tel.PageTraceparent(req) })))
		mux.Handle("/traces/{trace_id}", r.tel.Middleware("/traces/{trace_id}", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.PathValue("trace_id") != "7" {
				t.Errorf("the path value is %q", req.PathValue("trace_id"))
			}
			w.WriteHeader(http.StatusInternalServerError)
		})))
		serve(mux, "GET", "/", http.Header{"Traceparent": {foreign}})
		serve(mux, "GET", "/traces/7", nil)
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
		if s := spans[1]; s.Name() != "GET /traces/{trace_id}" || attr(s, "http.response.status_code").AsInt64() != 500 {
			t.Errorf("span %s %v", s.Name(), s.Attributes())
		}
		if page != "" { // the last one was beyond the limit
			t.Errorf("the traceparent of a request that is not sampled is %q", page)
		}
		r.expect("http.server.request.duration", "http.request.method=GET,http.response.status_code=200,http.route=/,network.protocol.version=1.1,url.scheme=http", 501)
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
	server := httptest.NewServer(tel.StreamMiddleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
