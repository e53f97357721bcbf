package web_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"weir/stream"
	"weir/web"
	"weir/web/limits"
)

func TestParseOrigins(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.org":                        "https://example.org",
		"HTTPS://Example.ORG:443":                    "https://example.org",
		"http://example.org:80, http://a.test:8080":  "http://example.org http://a.test:8080",
		"http://example.org:443":                     "http://example.org:443",
		"http://[::1]:8080":                          "http://[::1]:8080",
		"*":                                          "*",
		"https://a.test , *":                         "https://a.test *",
		"chrome-extension://abcdefghijklmnopabcdefg": "chrome-extension://abcdefghijklmnopabcdefg",
	} {
		got, err := web.ParseOrigins(in)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q gives %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "null", "example.org", "https://", "https://example.org/", "https://example.org/x", "https://example.org?", "https://example.org?x", "https://example.org#x",
		"https://user@example.org", "https://*.example.org", "//example.org", "https://a.test,", "https://a.test https://b.test",
	} {
		if got, err := web.ParseOrigins(bad); err == nil || !strings.Contains(err.Error(), "https://example.org") {
			t.Errorf("%q gives %q, %v", bad, got, err)
		}
	}
	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	for _, bad := range []string{"null", "https://*.example.org"} {
		if _, err := web.NewServer(web.Options{Hub: hub, Stream: &stream.Handler{Hub: hub}, Access: web.Access{CORSOrigins: []string{bad}}}); err == nil {
			t.Errorf("a server lets %s in", bad)
		}
	}
}

func varies(h http.Header, by string) bool {
	return slices.ContainsFunc(h.Values("Vary"), func(v string) bool { return strings.Contains(v, by) })
}

const friend = "https://friend.example"

var strangers = []string{
	"null", "https://stranger.example", "http://friend.example", "https://friend.example:8443", "https://friend.example.evil.example",
	"https://sub.friend.example", "https://friend.exampl", "https://friend.example/", "friend.example", "https://friend.example, https://x.example", "*",
}

// Every route that another origin may read, and an answer that is a refusal.
func TestCORS(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		o.Access.CORSOrigins = []string{friend, "http://localhost:3000"}
		o.Access.Rights = mustRights(t, secret, "", "")
		o.Limits = web.Limits{Limits: limits.Limits{ConnectRate: 0.1, Conns: 100}}
	})
	clients := 0
	answers := func(origin string) map[string]http.Header {
		all := map[string]http.Header{}
		put := func(name string, status int, code int, h http.Header) {
			if code != status {
				t.Errorf("%s from %q: status %d, want %d", name, origin, code, status)
			}
			all[name] = h
		}
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		clients++
		addr := fmt.Sprintf("198.51.100.%d:1", clients)
		w := s.glanceFrom(addr, "/sse-stream", header...)
		put("stream", 200, w.Code, w.Header())
		w = s.glanceFrom(addr, "/sse-stream", header...)
		put("stream refused", 429, w.Code, w.Header())
		w = s.glanceFrom(fmt.Sprintf("203.0.113.%d:1", clients), "/sse-stream?topic=none", header...)
		put("no topic", 404, w.Code, w.Header())
		w = s.do("POST", "/publish?topic=one", "1", header...)
		put("no token", 401, w.Code, w.Header())
		w = s.do("POST", "/publish?topic=one", "1", append(slices.Clone(header), withToken("Content-Type", "application/json")...)...)
		put("publish", 200, w.Code, w.Header())
		w = s.do("GET", "/sse-health", "", header...)
		put("health", 200, w.Code, w.Header())
		w = s.do("HEAD", "/sse-metrics", "", header...)
		put("metrics", 200, w.Code, w.Header())
		w = s.do("POST", "/ticket", "", header...)
		put("ticket", 404, w.Code, w.Header())
		return all
	}
	for _, origin := range []string{friend, "http://localhost:3000"} {
		all := answers(origin)
		if len(all) != 8 {
			t.Errorf("only %d answers from %s", len(all), origin)
		}
		for name, h := range all {
			if got := h.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != origin {
				t.Errorf("%s: Access-Control-Allow-Origin %q for %s", name, got, origin)
			}
			if !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") {
				t.Errorf("%s: a page cannot read Retry-After", name)
			}
			if h.Get("Access-Control-Allow-Credentials") != "true" {
				t.Errorf("%s: a listed origin may not send its cookie", name)
			}
			if !varies(h, "Origin") {
				t.Errorf("%s: Vary %q", name, h.Values("Vary"))
			}
		}
		if all["stream refused"].Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	for _, origin := range append(slices.Clone(strangers), "") {
		for name, h := range answers(origin) {
			for key := range h {
				if strings.HasPrefix(key, "Access-Control-") {
					t.Errorf("%s tells %q %s: %s", name, origin, key, h.Get(key))
				}
			}
			if !varies(h, "Origin") { // or a cache would give it to a friend
				t.Errorf("%s: Vary %q for %q", name, h.Values("Vary"), origin)
			}
		}
	}
}

func TestCORSPreflight(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.CORSOrigins = []string{friend} })
	preflight := func(path, origin, method, headers string) http.Header {
		w := s.do("OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", headers)
		if w.Code != 204 {
			t.Errorf("%s %s: status %d", path, origin, w.Code)
		}
		if !varies(w.Header(), "Origin") || !varies(w.Header(), "Access-Control-Request-Headers") {
			t.Errorf("Vary %q", w.Header().Values("Vary"))
		}
		return w.Header()
	}
	for _, tc := range []struct{ path, method, headers string }{
		{"/sse-stream", "GET", "last-event-id"},
		{"/sse-stream", "GET", "authorization,cache-control,last-event-id"},
		{"/publish", "POST", "authorization,content-type,traceparent"},
		{"/ticket", "POST", "authorization"},
		{"/publish", "PUT", "content-type"},
		{"/publish", "POST", "ce-id,ce-source,ce-specversion,ce-type"},
		{"/sse-stream", "GET", "hx-current-url,hx-request,hx-target,hx-trigger"}, // htmx
		{"/sse-stream", "GET", "datastar-request,x-requested-with"},
		{"/sse-stream", "GET", "baggage,traceparent,tracestate"},
		{"/sse-health", "GET", "authorization"},
	} {
		h := preflight(tc.path, friend, tc.method, tc.headers)
		if h.Get("Access-Control-Allow-Origin") != friend || h.Get("Access-Control-Allow-Methods") != tc.method || h.Get("Access-Control-Allow-Headers") != tc.headers || h.Get("Access-Control-Max-Age") == "" {
			t.Errorf("%+v: %v", tc, h)
		}
		if h.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%+v: a listed origin may not send its cookie", tc)
		}
	}
	for _, origin := range strangers {
		if h := preflight("/sse-stream", origin, "GET", "last-event-id"); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q is let in: %v", origin, h)
		}
	}
	if h := preflight("/publish", friend, "DELETE", ""); h.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("DELETE is allowed: %v", h)
	}
	if h := preflight("/publish", friend, "POST", "cookie"); h.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("a header that means nothing here is allowed: %v", h)
	}
	// What is no stream's business stays shut.
	for _, path := range []string{"/", "/telemetry/browser", "/metrics", "/traces/x", "/readyz"} {
		if w := s.do("OPTIONS", path, "", "Origin", friend, "Access-Control-Request-Method", "GET"); w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is open to other origins", path)
		}
	}
}

func TestCORSEverybody(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.CORSOrigins = []string{"*"} })
	for _, origin := range []string{friend, "null"} {
		h := s.glance("/sse-stream", "Origin", origin, "Cookie", "a=b").Header()
		if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", origin, h)
		}
	}
}

// With a list and "*", the listed origins may send credentials and others not.
func TestCORSListedAndEverybody(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.CORSOrigins = []string{"*", friend} })
	for origin, want := range map[string][2]string{friend: {friend, "true"}, "https://stranger.example": {"*", ""}, "null": {"*", ""}} {
		h := s.glance("/sse-stream", "Origin", origin).Header()
		if got := [2]string{h.Get("Access-Control-Allow-Origin"), h.Get("Access-Control-Allow-Credentials")}; got != want || !varies(h, "Origin") {
			t.Errorf("%s: %v, want %v", origin, h, want)
		}
	}
}

func TestCORSOff(t *testing.T) {
	s := newSite(t, nil)
	for _, w := range []http.Header{
		s.glance("/sse-stream", "Origin", friend).Header(),
		s.do("OPTIONS", "/sse-stream", "", "Origin", friend, "Access-Control-Request-Method", "GET").Header(),
	} {
		for key := range w {
			if strings.HasPrefix(key, "Access-Control-") {
				t.Errorf("%s: %s", key, w.Get(key))
			}
		}
	}
}
