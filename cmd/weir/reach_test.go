package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/web"
)

// reached has for each flag how it is seen that its value arrives where it is
// used. Where elsewhere says so, another test does.
var reached = map[string]func(t *testing.T){
	"addr": func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if p := start(t, 1, "-addr", l.Addr().String()); p.url != "http://"+l.Addr().String() {
			t.Errorf("it listens on %s", p.url)
		}
	},
	"source": func(t *testing.T) {
		p := start(t, 1, "-source", "one=http", "-source", "two=sensor", "-publish-token", "hush")
		if _, body := p.do(t, exchange{"GET", "/sse-health", "", nil}); !strings.Contains(body, `"one"`) || !strings.Contains(body, `"two"`) {
			t.Errorf("health: %s", body)
		}
	},
	"history": func(t *testing.T) {
		p := start(t, 1, "-history", "3", "-publish-token", "hush")
		for i := range 9 {
			p.publish(t, fmt.Sprint(i))
		}
		if _, body := p.do(t, exchange{"GET", "/sse-health", "", nil}); !strings.Contains(body, `"entries":3,`) {
			t.Errorf("health: %s", body)
		}
	},
	"history-bytes": func(t *testing.T) {
		p := start(t, 1, "-history-bytes", "4096", "-publish-token", "hush")
		for range 9 {
			p.publish(t, `"`+strings.Repeat("x", 3000)+`"`)
		}
		if _, body := p.do(t, exchange{"GET", "/sse-health", "", nil}); !strings.Contains(body, `"entries":1,`) {
			t.Errorf("health: %s", body)
		}
	},
	"node": func(t *testing.T) {
		_, stream := start(t, 1, "-node", "number seven").open(t, "topic=t")
		if m, err := stream.Next(); err != nil || !strings.Contains(string(m.Data), "number seven") {
			t.Errorf("%s, %v", m.Data, err)
		}
	},
	"tls-cert": reachTLS, "tls-key": reachTLS,
	"admin-addr": elsewhere("TestRun"),
	"heartbeat": func(t *testing.T) {
		_, stream := start(t, 1, "-heartbeat", "100ms").open(t, "topic=t")
		began := time.Now()
		for range 2 {
			if _, err := stream.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a ping came after %v", took)
		}
	},
	"retry": func(t *testing.T) {
		resp, _ := start(t, 1, "-retry", "54s").open(t, "topic=t")
		head := make([]byte, 300)
		n, err := io.ReadAtLeast(resp.Body, head, 100)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(head[:n]), "retry: ")
		var ms int
		if _, err := fmt.Sscan(rest, &ms); err != nil || ms < 27_000 || ms > 108_000 {
			t.Errorf("clients are told: %s", head[:n])
		}
	},
	"compress": func(t *testing.T) {
		if resp, _ := start(t, 1, "-compress").open(t, "topic=t", "Accept-Encoding", "gzip"); resp.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("headers: %v", resp.Header)
		}
	},
	"lifetime": func(t *testing.T) {
		resp, _ := start(t, 1, "-lifetime", "300ms").open(t, "topic=t")
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
	},
	"write-timeout": func(t *testing.T) {
		wired(t, func(h *stream.Handler) bool { return h.WriteTimeout == 7*time.Second }, "-write-timeout", "7s")
	},
	"transport": func(t *testing.T) {
		wired(t, func(h *stream.Handler) bool { return h.Transport == stream.TransportPlain }, "-transport", "net/http")
		wired(t, func(h *stream.Handler) bool { return h.Transport == stream.TransportLean }, "-transport", "auto")
	},
	"pace": func(t *testing.T) {
		for pace, want := range map[string]time.Duration{"300ms": 300 * time.Millisecond, "0": 0} {
			cfg := parsed(t, "-pace", pace)
			if got := cfg.topic().Pace; got != want {
				t.Errorf("the pace of a topic is %v with -pace %s", got, pace)
			}
		}
	},
	"drain": elsewhere("TestSecondSignal"),
	"publish-token": func(t *testing.T) {
		p := start(t, 1, "-publish-token", "hush")
		if with, without := p.publish(t, "1"), p.publish(t, "1", "Authorization", ""); with != 200 || without != 401 {
			t.Errorf("with the token %d, without %d", with, without)
		}
	},
	"subscribe-token": func(t *testing.T) {
		p := start(t, 1, "-subscribe-token", "hush")
		p.wantStatus(t, 401)
		if resp, _ := p.open(t, "topic=t", "Authorization", "Bearer hush"); resp.StatusCode != 200 {
			t.Errorf("with the token: %d", resp.StatusCode)
		}
	},
	"token-file": elsewhere("TestHangupReloadsTokens"),
	"jwt-keys": func(t *testing.T) {
		if got := parsed(t, "-jwt-keys", "keys.pem", "-jwt-audience", "weir", "-ticket-life", "7m").rights; got.Keys != "keys.pem" || got.Audience != "weir" || got.TicketLife != 7*time.Minute {
			t.Errorf("%+v", got)
		}
		missing := filepath.Join(t.TempDir(), "none.pem")
		err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-source", "t=http", "-jwt-keys", missing}, nil, nil, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("keys that are not there: %v", err)
		}
	},
	"jwt-audience": elsewhere("jwt-keys, and web/rights"),
	"ticket-life":  elsewhere("jwt-keys, and web/rights"),
	"host": func(t *testing.T) {
		p := start(t, 1, "-host", "weir.example.org")
		for host, want := range map[string]int{"weir.example.org": 200, "other.example.org": 421} {
			if resp, _ := p.do(t, exchange{"GET", "/", "", []string{"Host", host}}); resp.StatusCode != want {
				t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
			}
		}
	},
	"cors-origin": func(t *testing.T) {
		resp, _ := start(t, 1, "-cors-origin", "https://a.test").open(t, "topic=t", "Origin", "https://a.test")
		if resp.Header.Get("Access-Control-Allow-Origin") != "https://a.test" {
			t.Errorf("headers: %v", resp.Header)
		}
	},
	"trusted-proxy": func(t *testing.T) {
		p := start(t, 1, "-trusted-proxy", "127.0.0.1", "-max-conns-per-client", "1")
		p.wantStatus(t, 200, 429)
		if resp, _ := p.open(t, "topic=t", "X-Forwarded-For", "192.0.2.7"); resp.StatusCode != 200 {
			t.Errorf("another client of the proxy: %d", resp.StatusCode)
		}
		until(t, "the client's address", func() bool { return strings.Contains(p.stderr.String(), "192.0.2.7") })
	},
	"max-conns":            func(t *testing.T) { start(t, 1, "-max-conns", "2").wantStatus(t, 200, 200, 503) },
	"max-conns-per-client": func(t *testing.T) { start(t, 1, "-max-conns-per-client", "2").wantStatus(t, 200, 200, 429) },
	"connect-rate":         func(t *testing.T) { start(t, 1, "-connect-rate", "0.2").wantStatus(t, 200, 200, 429) },
	"publish-rate": func(t *testing.T) {
		p := start(t, 1, "-publish-rate", "0.001", "-publish-token", "hush")
		first := p.publish(t, "1")
		until(t, "a refusal", func() bool { return p.publish(t, "1") == 429 })
		if first != 200 {
			t.Errorf("the first: %d", first)
		}
	},
	"max-sockets":             reachLimits,
	"max-sockets-per-client":  reachLimits,
	"max-requests":            reachLimits,
	"max-requests-per-client": reachLimits,
	"topics": func(t *testing.T) {
		limits := parsed(t, "-topics", "run.*,history=2,bytes=5000,ttl=7m").diskLimits()
		if got := limits("run.7"); got.History != 2 || got.Bytes != 5000 || got.Expire != 7*time.Minute || limits("t").Expire != 0 {
			t.Errorf("on disk a topic has %+v", got)
		}
		p := start(t, 1, "-topics", "run.*,history=2", "-publish-token", "hush")
		for _, topic := range []string{"run.7", "other.7"} {
			for i := range 5 {
				want := map[string]int{"run.7": 200, "other.7": 404}[topic]
				if resp, _ := p.do(t, exchange{"POST", "/publish?topic=" + topic, fmt.Sprint(i), []string{"Authorization", "Bearer hush"}}); resp.StatusCode != want {
					t.Errorf("publishing to %s: %d, want %d", topic, resp.StatusCode, want)
				}
			}
		}
		_, stream := p.open(t, "topic=run.7&last=10&format=data")
		for _, want := range []string{"", "3", "4"} {
			if m, err := stream.Next(); err != nil || want != "" && string(m.Data) != want {
				t.Errorf("with a history of 2 comes %s, want %s: %v", m.Data, want, err)
			}
		}
	},
	"play": func(t *testing.T) {
		p := start(t, 1, "-play")
		if resp, _ := p.do(t, exchange{"POST", "/t/anything", "hello", nil}); resp.StatusCode != 200 {
			t.Errorf("publishing: %d", resp.StatusCode)
		}
	},
	"max-body": func(t *testing.T) {
		p := start(t, 1, "-max-body", "2000", "-publish-token", "hush")
		if small, large := p.publish(t, `"`+strings.Repeat("x", 1500)+`"`), p.publish(t, `"`+strings.Repeat("x", 2500)+`"`); small != 200 || large != 413 {
			t.Errorf("%d, %d", small, large)
		}
	},
	"redis":      elsewhere("TestRunRefuses, and the tests of Redis"),
	"redis-wait": elsewhere("TestRedisWaitEndsWithTheContext"),
	"data": func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, 1, "-data", dir, "-history", "3", "-publish-token", "hush")
		for i := range 9 {
			p.publish(t, fmt.Sprint(i))
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		p = start(t, 1, "-data", dir) // what was kept was -history's
		if _, body := p.do(t, exchange{"GET", "/sse-health", "", nil}); !strings.Contains(body, `"entries":3,`) {
			t.Errorf("health: %s", body)
		}
	},
	"sync": elsewhere("TestSyncAsksTheDisk"),
	"event-traces": func(t *testing.T) {
		for n, want := range map[string]bool{"50": true, "0": false} {
			p := start(t, 1, "-event-traces", n, "-publish-token", "hush")
			_, stream := p.open(t, "topic=t&format=json")
			if _, err := stream.Next(); err != nil {
				t.Fatal(err)
			}
			p.publish(t, "1")
			if m, err := stream.Next(); err != nil || strings.Contains(string(m.Data), `-01"`) != want {
				t.Errorf("-event-traces %s: %s, %v", n, m.Data, err)
			}
		}
	},
	"jaeger-ui": func(t *testing.T) {
		p := start(t, 1, "-jaeger-ui", "https://jaeger.example/ui")
		if _, body := p.do(t, exchange{"GET", "/", "", []string{"Accept", "text/html"}}); web.HasAssets() && !strings.Contains(body, "jaeger.example/ui") {
			t.Error("the page does not lead to Jaeger")
		}
	},
	"log-level": func(t *testing.T) {
		for level, want := range map[string]bool{"info": true, "error": false} {
			p := start(t, 1, "-log-level", level)
			resp, stream := p.open(t, "topic=t")
			if _, err := stream.Next(); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(p.stderr.String(), "INFO"); got != want {
				t.Errorf("-log-level %s: %s", level, p.stderr)
			}
		}
	},
}

func elsewhere(string) func(t *testing.T) { return func(*testing.T) {} }

func TestEveryFlagReachesItsPart(t *testing.T) {
	for _, s := range (&config{}).settings() {
		test := reached[s.name]
		if test == nil {
			t.Errorf("flag -%s has no test that it reaches its part", s.name)
			continue
		}
		t.Run(s.name, test)
	}
}
