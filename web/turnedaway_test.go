package web_test

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/streamtest"
	"weir/web"
)

// Whoever is turned away where no stream is refused is counted, by a reason that has
// had a series from the start, and logged.
func TestTurnedAwayIsCounted(t *testing.T) {
	s := newObserved(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, "secret", "", "")
		o.Access.Hosts = web.Hosts{Loopback: true}
		o.Limits.PublishRate = 1
		o.Limits.Sockets = 8
		o.Admin = true // /metrics for everybody would be a request more
	})
	counted := func(reason, want string) {
		t.Helper()
		text := s.metrics()
		if line := `sse_server_turned_away_total{sse_reject_reason="` + reason + `"} ` + want + "\n"; !strings.Contains(text, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for _, reason := range append([]string{"_OTHER"}, web.TurnedAwayReasons...) {
		counted(reason, "0")
	}
	if w := s.do("GET", "http://evil.example/", ""); w.Code != 421 {
		t.Errorf("another host's name is answered by %d", w.Code)
	}
	counted("host", "1")
	if w := s.do("POST", "http://localhost/publish?topic=one", "1"); w.Code != 401 {
		t.Errorf("publishing without a token is answered by %d", w.Code)
	}
	counted("token", "1")
	refused := 0
	for range 5 {
		if s.do("POST", "http://localhost/publish?topic=one", "1", "Authorization", "Bearer secret").Code == 429 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nobody publishes too often")
	}
	if s.do("GET", "http://localhost/publish?topic=one", "").Code != 405 {
		t.Error("publishing by GET is not refused")
	}
	counted("_OTHER", "1")

	server := httptest.NewUnstartedServer(s.public)
	s.server.BoundSockets(server.Config)
	server.Start()
	t.Cleanup(server.Close)
	const sockets = 60
	for range sockets {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.metrics(), `{sse_reject_reason="max_sockets"} 52`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of %d sockets where 8 may be, there is\n%s", sockets, s.metrics())
		}
	}
	for _, want := range []string{
		`"msg":"request turned away","reason":"host","status":421,"client":"192.0.2.1","host":"evil.example"`,
		`"msg":"request turned away","reason":"publish_rate","status":429`,
		`"msg":"socket turned away","reason":"max_sockets","client":"127.0.0.1"`,
	} {
		if n := strings.Count(s.logs.String(), want); n != 1 {
			t.Errorf("the log says %d times %s:\n%s", n, want, s.logs)
		}
	}
}

// The log of who is turned away is summed up: a line at once, and one a minute.
func TestTurnedAwayIsSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log streamtest.Buffer
		s := newSite(t, func(o *web.Options) {
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			o.Access.Hosts = web.Hosts{Loopback: true}
		})
		for range 1000 {
			s.do("GET", "http://evil.example/", "")
		}
		time.Sleep(5 * time.Minute)
		s.do("GET", "http://evil.example/", "")
		time.Sleep(5 * time.Minute)
		if text := log.String(); strings.Count(text, "\n") != 3 || !strings.Contains(text, "times=999 within=1m0s") {
			t.Errorf("the log says\n%s", text)
		}
	})
}
