package e2e_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPublishedEventsArriveAsCloudEvents(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	u := s.url()
	r := subscribe(t, u+"/sse-stream?topic=t&format=json", nil)
	h := r.resp.Header
	for name, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	var connected struct {
		Connection, Node, Topic string
		Resumed                 bool
		Traceparent             *string
	}
	if m := r.next(); m.event != "connected" || m.id == "" || json.Unmarshal([]byte(m.data), &connected) != nil ||
		connected.Connection == "" || connected.Topic != "t" || connected.Resumed || connected.Traceparent == nil {
		t.Errorf("the stream begins with %+v", m)
	}
	var ids []string
	for _, e := range []struct{ contentType, body, data string }{
		{"application/json", ` {"a": 1} `, `{"a":1}`},
		{"application/json; charset=utf-8", `"täxt"`, `"täxt"`},
		{"text/plain", "one\r\ntwo\rthree\n", `"one\r\ntwo\rthree\n"`},
		{"application/cloudevents+json", `{"specversion":"1.0","id":"theirs","source":"/them","type":"org.example.made","data":{"b":2}}`, `{"b":2}`},
		{"application/x-ndjson", "{\"n\":1}\n\n{\"n\":2}", `{"n":1}`},
	} {
		a := send(t, "POST", u+"/publish?topic=t", e.body, "Authorization", "Bearer "+token, "Content-Type", e.contentType)
		var answer struct{ IDs []string }
		if err := json.Unmarshal([]byte(a.body), &answer); err != nil || a.StatusCode != 200 {
			t.Fatalf("%s: %s %s", e.contentType, a.Status, a.body)
		}
		for i, id := range answer.IDs {
			m := r.event()
			if m.id != id {
				t.Errorf("event %s came where %s should", m.id, id)
			}
			var ce struct{ Data any }
			var want any
			_ = json.Unmarshal([]byte(e.data), &want)
			if err := json.Unmarshal([]byte(m.data), &ce); err != nil || i == 0 && fmt.Sprint(ce.Data) != fmt.Sprint(want) {
				t.Errorf("%s: %s arrived as %s", e.contentType, e.body, m.data)
			}
		}
		ids = append(ids, answer.IDs...)
	}
	if !slices.IsSortedFunc(ids, func(a, b string) int {
		var am, as, bm, bs int
		_, _ = fmt.Sscanf(a, "%d-%d", &am, &as)
		_, _ = fmt.Sscanf(b, "%d-%d", &bm, &bs)
		if am != bm {
			return am - bm
		}
		return as - bs
	}) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("IDs do not rise: %v", ids)
	}

	// Resuming, by the header and by the query; the header wins.
	for name, again := range map[string]*subscription{
		"header": subscribe(t, u+"/sse-stream?topic=t&format=json&last_event_id="+ids[4], nil, "Last-Event-ID", ids[1]),
		"query":  subscribe(t, u+"/sse-stream?topic=t&format=json&last_event_id="+ids[1], nil),
	} {
		if m := again.next(); !strings.Contains(m.data, `"resumed":true`) {
			t.Errorf("%s: resumed with %s", name, m.data)
		}
		for _, id := range ids[2:] {
			if m := again.next(); m.id != id || m.event != "" {
				t.Errorf("%s: %+v came where event %s should", name, m, id)
			}
		}
	}
	// An ID that is none: live, and said so.
	bad := subscribe(t, u+"/sse-stream?topic=t", nil, "Last-Event-ID", "tomorrow")
	if m := bad.next(); !strings.Contains(m.data, `"last_event_id":"malformed"`) || !strings.Contains(m.data, `"resumed":false`) {
		t.Errorf("a malformed Last-Event-ID is answered by %s", m.data)
	}
	// One of before the server's time: a gap.
	old := subscribe(t, u+"/sse-stream?topic=t", nil, "Last-Event-ID", "1000-0")
	old.next()
	if m := old.next(); m.event != "gap" || !strings.Contains(m.data, `"from":"1000-0"`) || !strings.Contains(m.data, `"reason":"restart"`) {
		t.Errorf("an ID of before the start is answered by %+v", m)
	}
}

// over is a client that speaks one version of HTTP.
func over(set func(*http.Protocols)) *http.Client {
	p := new(http.Protocols)
	set(p)
	return &http.Client{Transport: &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func TestVersionsOfHTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		client *http.Client
		flags  []string
		proto  string
	}{
		"h2c":                {over(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), nil, "HTTP/2.0"},
		"HTTP/2 over TLS":    {over(func(p *http.Protocols) { p.SetHTTP2(true) }), []string{"-tls-cert", cert.File, "-tls-key", cert.KeyFile}, "HTTP/2.0"},
		"HTTP/1.1 over TLS":  {over(func(p *http.Protocols) { p.SetHTTP1(true) }), []string{"-tls-cert", cert.File, "-tls-key", cert.KeyFile}, "HTTP/1.1"},
		"HTTP/1.1 in clear":  {over(func(p *http.Protocols) { p.SetHTTP1(true) }), nil, "HTTP/1.1"},
		"by net/http":        {over(func(p *http.Protocols) { p.SetHTTP1(true) }), []string{"-transport", "net/http", "-write-timeout", "300ms"}, "HTTP/1.1"},
		"with a short write": {over(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), []string{"-write-timeout", "300ms"}, "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, append([]string{"-source", "t=http", "-drain", "200ms"}, c.flags...)...)
			var streams []*subscription
			for range 30 { // on HTTP/2 over one connection
				r := subscribe(t, s.url()+"/sse-stream?format=json", c.client)
				if r.resp.Proto != c.proto {
					t.Fatalf("spoke %s, want %s", r.resp.Proto, c.proto)
				}
				if c.proto == "HTTP/2.0" && r.resp.Header.Get("Connection") != "" {
					t.Errorf("a Connection header over HTTP/2: %q", r.resp.Header.Get("Connection"))
				}
				streams = append(streams, r)
			}
			s.connections(len(streams))
			s.publish("t", seq(0, 20)...)
			// Longer idle than a write may take: nothing is reset.
			h := s.health()
			eventually(t, func() bool {
				h = s.health()
				for _, d := range h.ConnectionDetails {
					if *d.LastPingSecondsAgo < 0.5 {
						return false
					}
				}
				return true
			}, func() string { return fmt.Sprintf("the streams do not come to rest: %+v", h) })
			s.publish("t", seq(20, 21)...)
			for _, r := range streams {
				for n := range 21 {
					if got := cloudEventData(t, r.event()); got != fmt.Sprintf(`{"seq":%d}`, n) {
						t.Fatalf("%s came where %d should", got, n)
					}
				}
			}
			streams[0].stop() // of one stream, not of its neighbours
			s.connections(len(streams) - 1)
			s.publish("t", seq(21, 22)...)
			for _, r := range streams[1:] {
				r.event()
			}
		})
	}
}

func TestFiguresAreTrue(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-heartbeat", "100ms")
	r := subscribe(t, s.url()+"/sse-stream", nil)
	s.publish("t", seq(0, 7)...)
	for range 7 {
		r.event()
	}
	h := s.health()
	eventually(t, func() bool { // it counts what it has written, a moment later
		h = s.health()
		for _, d := range h.ConnectionDetails {
			if d.EventsSent != 7 {
				return false
			}
		}
		return len(h.ConnectionDetails) == 1
	}, func() string {
		return fmt.Sprintf("details %+v, want one connection with 7 events", h.ConnectionDetails)
	})
	for _, d := range h.ConnectionDetails {
		if *d.LagEvents != 0 || *d.ErrorCount != 0 || *d.UptimeSeconds <= 0 {
			t.Errorf("%d behind, %d errors, up for %v s", *d.LagEvents, *d.ErrorCount, *d.UptimeSeconds)
		}
	}
	// The last ping moves: it is never older than some heartbeats, and it is
	// not the uptime.
	r.next()
	r.next()
	eventually(t, func() bool {
		for _, d := range s.health().ConnectionDetails {
			return *d.UptimeSeconds > 2 && *d.LastPingSecondsAgo < 1
		}
		return false
	}, func() string { return "last_ping_seconds_ago does not follow the pings" })

	var m struct {
		ActiveConnections         *int     `json:"active_connections"`
		TotalEventsSent           *int     `json:"total_events_sent"`
		AverageConnectionDuration *float64 `json:"average_connection_duration"`
		ErrorRate                 *float64 `json:"error_rate"`
	}
	s.getJSON("/sse-metrics", &m)
	if m.ActiveConnections == nil || *m.ActiveConnections != 1 || m.TotalEventsSent == nil || *m.TotalEventsSent != 7 ||
		m.AverageConnectionDuration == nil || *m.AverageConnectionDuration < 2 || m.ErrorRate == nil || *m.ErrorRate != 0 {
		t.Errorf("metrics: %d active, %d sent, %v s, error rate %v", *m.ActiveConnections, *m.TotalEventsSent, *m.AverageConnectionDuration, *m.ErrorRate)
	}
	r.stop()
	s.connections(0)
	s.getJSON("/sse-metrics", &m)
	if *m.ActiveConnections != 0 || *m.TotalEventsSent != 7 || *m.AverageConnectionDuration < 2 {
		t.Errorf("after the end: %d active, %d sent, %v s", *m.ActiveConnections, *m.TotalEventsSent, *m.AverageConnectionDuration)
	}
}

func TestThePageIsGuarded(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	a := get(t, s.url()+"/", "text/html")
	want := "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if got := a.Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("content security policy %q", got)
	}
	if a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("no X-Content-Type-Options: nosniff")
	}
	if i := regexp.MustCompile(`(?i)(src|href)="(https?:)?//`).FindString(a.body); i != "" {
		t.Errorf("the page loads something from elsewhere: %s", i)
	}
	// Every asset that it names is there.
	for _, m := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if asset := get(t, s.url()+m[1], ""); asset.StatusCode != 200 || len(asset.body) == 0 {
			t.Errorf("%s: %s", m[1], asset.Status)
		}
	}
}
