package web_test

import (
	"strings"
	"testing"

	"weir/web"
)

// A page that rebinds its name to this machine is not on our site.
func TestHosts(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Access.Hosts = web.Hosts{Loopback: true, Names: []string{"weir.example.org", "192.0.2.7"}}
	})
	for host, served := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST": true, "localhost.": true, "weir.localhost:1": true,
		"127.0.0.1": true, "127.0.0.1:8080": true, "127.9.9.9": true, "[::1]": true, "[::1]:8080": true, "[::ffff:127.0.0.1]:80": true,
		"weir.example.org": true, "Weir.Example.org:443": true, "192.0.2.7:80": true,
		"":             true, // HTTP/1.0
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"notlocalhost": false, "a.weir.example.org": false, "192.0.2.8": false, "0.0.0.0:8080": false, "[2001:db8::1]:80": false,
		"localhost:80:80": false, "localhost@evil.example": false, "127.0.0.1/": false, " localhost": false, "127.1": false, "0x7f000001": false,
	} {
		for _, target := range []string{"/", "/sse-stream?topic=one", "/sse-health", "/metrics", "/publish", "/livez", "/nothing"} {
			r := newRequest("HEAD", target, "")
			r.Host = host
			w := ask(s.public, r)
			if (w.Code != 421) != served {
				t.Errorf("Host %q, %s: %d", host, target, w.Code)
			}
		}
	}
	r := newRequest("GET", "/sse-health", "")
	r.Host = "evil.example"
	if p := wantProblem(t, ask(s.public, r), 421, "-host"); p.Reason != "host" || strings.Contains(p.Detail, "one") {
		t.Errorf("%+v", p)
	}
	// Elsewhere every name is good: who knows which names lead here?
	if w := newSite(t, nil).do("GET", "/sse-health", "", "Host", "x"); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}

// On the admin address names are checked always. An address is nobody's to
// rebind: Prometheus scrapes by it.
func TestAdminHosts(t *testing.T) {
	s := newSite(t, func(o *web.Options) { full(o); o.Admin = true; o.Access.Hosts.Names = []string{"ops.example.org"} })
	admin := s.server.AdminHandler()
	for host, served := range map[string]bool{
		"127.0.0.1:9090": true, "localhost": true, "10.1.2.3:9090": true, "[fd00::1]:9090": true, "ops.example.org:9090": true, "evil.example": false,
	} {
		for _, target := range []string{"/metrics", "/debug/pprof/", "/sse-health"} {
			r := newRequest("GET", target, "")
			r.Host = host
			if w := ask(admin, r); (w.Code != 421) != served {
				t.Errorf("Host %q, %s: %d", host, target, w.Code)
			}
		}
	}
	if w := ask(admin, adminRequest("GET", "/debug/pprof/cmdline")); w.Code != 404 {
		t.Errorf("the command line, with its tokens, is shown: %d %s", w.Code, w.Body)
	}
}

// Where reading needs a right, nobody is told which topics there are, nor of
// connections, metrics and traces, without one; who has a right to one topic is
// told of that one.
func TestNothingIsToldWithoutARight(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Access.Rights = mustRights(t, "", "all", tokenFile(t, "subscribe first one\npublish writer two"))
	})
	_, leave := s.hold("192.0.2.1:1", "Authorization", "Bearer all")
	defer leave()
	connection := s.handler.Conns()[0].ID
	trace := "/traces/" + strings.Repeat("a", 32)
	for _, target := range []string{"/", "/sse-stream", "/sse-stream?topic=none", "/sse-stream?topic=one", "/sse-health", "/sse-health?connection=" + connection, "/sse-health?topic=one",
		"/metrics", "/traces", trace, "/readyz", "/sse-metrics", "/publish", "/ticket", "/nothing"} {
		for _, method := range []string{"GET", "POST", "HEAD"} {
			for _, token := range []string{"", "guess", "writer"} {
				w := s.do(method, target, "", "Authorization", "Bearer "+token)
				for _, secret := range []string{`"one"`, `"two"`, `>one<`, `>two<`, "one, two", connection} {
					if strings.Contains(w.Body.String(), secret) {
						t.Errorf("%s %s as %q tells %s: %.300s", method, target, token, secret, w.Body)
					}
				}
				if target == "/metrics" && w.Code != 401 && w.Code != 405 && (w.Code != 403 || token != "writer") {
					t.Errorf("%s %s: %d", method, target, w.Code)
				}
			}
		}
	}
	h := decode[healthAnswer](t, s.do("GET", "/sse-health", "", "Authorization", "Bearer first"), 200)
	if len(h.Topics) != 1 || h.Topics["one"] == nil || len(h.ConnectionDetails) != 1 {
		t.Errorf("%+v", h)
	}
	if w := s.do("GET", "/metrics", "", "Authorization", "Bearer first"); w.Code != 403 {
		t.Errorf("metrics of every topic are told to who may read one: %d", w.Code)
	}
	if w := s.do("GET", "/metrics", "", "Authorization", "Bearer all"); w.Code != 200 {
		t.Errorf("metrics: %d", w.Code)
	}
}

// With an admin listener, the cluster is shown there alone.
func TestClusterWithAdmin(t *testing.T) {
	s := newSite(t, func(o *web.Options) { full(o); cluster(o); o.Admin = true })
	if h := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200); h.Cluster != nil {
		t.Errorf("the public health shows the cluster: %v", h.Cluster)
	}
	if h := decode[healthAnswer](t, ask(s.server.AdminHandler(), adminRequest("GET", "/sse-health")), 200); h.Cluster == nil {
		t.Error("the admin's health does not show the cluster")
	}
}
