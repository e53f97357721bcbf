package web_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"

	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/web"
	"weir/web/limits"
)

type healthAnswer struct {
	Status            string
	Node              string
	ActiveConnections int                       `json:"active_connections"`
	ConnectionDetails map[string]map[string]any `json:"connection_details"`
	Topics            map[string]map[string]any
	Cluster           any
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(o *web.Options) {
			o.Stream.Heartbeat = 15 * time.Second
			o.Observe.Segments = func(string) int { return 3 }
		})
		h := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200)
		if h.Status != "ok" || h.Node != "node-1" || h.ActiveConnections != 0 || h.ConnectionDetails == nil || len(h.ConnectionDetails) != 0 || h.Cluster != nil {
			t.Errorf("%+v", h)
		}
		_, leave := s.hold("192.0.2.1:1")
		defer leave()
		_, leave2 := s.hold("192.0.2.1:2")
		if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		h = decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200)
		if h.ActiveConnections != 2 || len(h.ConnectionDetails) != 2 {
			t.Fatalf("%+v", h)
		}
		var id string
		for key, d := range h.ConnectionDetails {
			id = key
			if d["uptime_seconds"] != 10.0 || d["last_ping_seconds_ago"] != 10.0 || d["error_count"] != 0.0 || d["topic"] != "one" ||
				d["events_sent"] != 1.0 || d["lag_events"] != 0.0 || d["segments"] != 3.0 || d["bytes_sent"].(float64) < 100 {
				t.Errorf("%v", d)
			}
		}
		if id, there := h.Topics["two"]["last_id"]; there {
			t.Errorf("the newest event of a topic without events is %v", id)
		}
		if one := h.Topics["one"]; one["entries"] != 1.0 || one["last_id"] == "0-0" || one["bytes"].(float64) < 1 {
			t.Errorf("%v", one)
		}
		// A heartbeat moves the last ping, and nothing else.
		time.Sleep(7 * time.Second)
		h = decode[healthAnswer](t, s.do("GET", "/sse-health?connection="+id, ""), 200)
		if d := h.ConnectionDetails[id]; len(h.ConnectionDetails) != 1 || d["uptime_seconds"] != 17.0 || d["last_ping_seconds_ago"] != 2.0 || d["events_sent"] != 1.0 || h.ActiveConnections != 2 {
			t.Errorf("%+v", h)
		}
		for _, none := range []string{"x", strings.Repeat("f", 24), "%00", strings.Repeat("x", 5000)} {
			h := decode[healthAnswer](t, s.do("GET", "/sse-health?connection="+none, ""), 200)
			if len(h.ConnectionDetails) != 0 {
				t.Errorf("%+v", h)
			}
		}
		leave2()
		if h = decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200); h.ActiveConnections != 1 || len(h.ConnectionDetails) != 1 {
			t.Errorf("%+v", h)
		}
	})
}

// With an admin listener, the public one tells of a connection only to who
// knows its ID.
func TestHealthWithAdmin(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Admin = true })
	_, leave := s.hold("192.0.2.1:1")
	defer leave()
	admin := decode[healthAnswer](t, ask(s.server.AdminHandler(), adminRequest("GET", "/sse-health")), 200)
	if len(admin.ConnectionDetails) != 1 {
		t.Errorf("%+v", admin)
	}
	public := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200)
	if public.ActiveConnections != 1 || public.ConnectionDetails == nil || len(public.ConnectionDetails) != 0 {
		t.Errorf("%+v", public)
	}
	for id := range admin.ConnectionDetails {
		if own := decode[healthAnswer](t, s.do("GET", "/sse-health?connection="+id, ""), 200); len(own.ConnectionDetails) != 1 {
			t.Errorf("%+v", own)
		}
	}
}

// Who reads, from where and with what, is told to whoever may see everybody's
// streams, and to nobody else.
func TestHealthTellsWhoReads(t *testing.T) {
	trusted, err := limits.ParseProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for _, admin := range []bool{false, true} {
		s := newSite(t, func(o *web.Options) {
			o.Admin = admin
			o.Limits.Proxies = trusted
		})
		// A proxy that is trusted, and a program with far too long a name that is no text.
		_, leave := s.hold("10.1.2.3:999", "X-Forwarded-For", "203.0.113.9", "User-Agent", "curl/8.1 \xff "+strings.Repeat("x", 1000))
		defer leave()
		for _, c := range []struct {
			name string
			told bool
			do   func() *httptest.ResponseRecorder
		}{
			{"the public address", false, func() *httptest.ResponseRecorder {
				return s.do("GET", "/sse-health?connection="+s.handler.Conns()[0].ID, "")
			}},
			{"a loopback address", !admin, func() *httptest.ResponseRecorder { return s.ofLoopback("/sse-health") }},
			{"a loopback address behind a proxy", false, func() *httptest.ResponseRecorder {
				return s.ofLoopback("/sse-health", "X-Forwarded-For", "203.0.113.1")
			}},
			{"the admin address", true, func() *httptest.ResponseRecorder {
				return ask(s.server.AdminHandler(), adminRequest("GET", "/sse-health"))
			}},
		} {
			h := decode[healthAnswer](t, c.do(), 200)
			for _, d := range h.ConnectionDetails {
				agent, _ := d["user_agent"].(string)
				if told := d["client"] == "203.0.113.9" && strings.HasPrefix(agent, "curl/8.1 \ufffd xxx") && len(agent) < 300; told != c.told || !told && (d["client"] != nil || d["user_agent"] != nil) {
					t.Errorf("admin address %v: on %s: %v", admin, c.name, d)
				}
			}
			if len(h.ConnectionDetails) == 0 && c.told {
				t.Errorf("admin address %v: on %s: no connection is told", admin, c.name)
			}
		}
	}
}

// ofLoopback answers a request that came to a loopback address.
func (s *site) ofLoopback(target string, header ...string) *httptest.ResponseRecorder {
	r := newRequest("GET", target, "", header...)
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	return ask(s.public, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local))))
}

func TestHealthOfTheCluster(t *testing.T) {
	fail := errors.New("dial 10.1.2.3:6379: refused")
	for _, err := range []error{nil, fail} {
		s := newSite(t, func(o *web.Options) {
			o.Observe.Cluster = func(ctx context.Context) (any, error) {
				if _, bounded := ctx.Deadline(); !bounded {
					t.Error("it may take for ever")
				}
				return []string{"node-1", "node-2"}, err
			}
		})
		w := s.do("GET", "/sse-health", "")
		h := decode[healthAnswer](t, w, 200)
		if _, list := h.Cluster.([]any); list != (err == nil) || strings.Contains(w.Body.String(), "10.1.2.3") {
			t.Errorf("%s", w.Body)
		}
	}
}

type metricsAnswer struct {
	Active    int            `json:"active_connections"`
	Events    int            `json:"total_events_sent"`
	Average   float64        `json:"average_connection_duration"`
	ErrorRate float64        `json:"error_rate"`
	Total     int            `json:"total_connections"`
	Rejected  int            `json:"rejected_connections"`
	ClosedBy  map[string]int `json:"closed_connections"`
	Bytes     int            `json:"total_bytes_sent"`
	Gaps      int
	Uptime    float64 `json:"uptime_seconds"`
}

func TestMetricsAreTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(o *web.Options) { o.Stream.Heartbeat = time.Hour; o.Limits.ConnsPerClient = 2 })
		metrics := func() metricsAnswer {
			t.Helper()
			return decode[metricsAnswer](t, s.do("GET", "/sse-metrics", ""), 200)
		}
		if m := metrics(); m.Active != 0 || m.Events != 0 || m.Average != 0 || m.ErrorRate != 0 || m.ClosedBy == nil {
			t.Errorf("at first %+v", m)
		}
		_, leave1 := s.hold("192.0.2.1:1")
		_, leave2 := s.hold("192.0.2.1:2")
		s.hold("192.0.2.1:3")
		s.glance("/sse-stream?topic=none")
		for range 3 {
			if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		m := metrics()
		if m.Active != 2 || m.Events != 6 || m.Average != 10 || m.ErrorRate != 0 || m.Total != 2 || m.Rejected != 2 || m.Gaps != 0 || m.Uptime != 10 {
			t.Errorf("with two streams %+v", m)
		}
		leave1()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		m2 := metrics()
		if m2.Active != 1 || m2.Events != 6 || m2.Average != 15 || m2.ErrorRate != 0 || m2.ClosedBy["client"] != 1 || m2.Bytes != m.Bytes {
			t.Errorf("with one stream %+v", m2)
		}
		// One that resumes from before the log is told of a gap, and gets the rest.
		_, leave3 := s.hold("192.0.2.9:1", "Last-Event-ID", "1-0")
		synctest.Wait()
		leave2()
		leave3()
		// A client that is cut off counts as an error.
		w := &stuck{flushes: flushes{header: map[string][]string{}, first: make(chan struct{})}}
		s.public.ServeHTTP(w, newRequest("GET", "/sse-stream", ""))
		synctest.Wait()
		m = metrics()
		if m.Active != 0 || m.Events != 9 || m.Gaps != 1 || m.ClosedBy["client"] != 3 || m.ClosedBy["error"] != 1 || m.ErrorRate != 0.25 || m.Average != 7.5 || m.Total != 4 {
			t.Errorf("at last %+v", m)
		}
	})
}

// stuck cannot be written to.
type stuck struct{ flushes }

func (*stuck) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestReady(t *testing.T) {
	type readyAnswer struct {
		Status  string
		Reasons []string
	}
	check := func(t *testing.T, s *site, want ...string) {
		t.Helper()
		if w := s.do("GET", "/livez", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "alive") {
			t.Errorf("livez: %d %s", w.Code, w.Body)
		}
		w := s.do("GET", "/readyz", "")
		status, text := 503, "not ready"
		if want == nil {
			status, text = 200, "ready"
		}
		got := decode[readyAnswer](t, w, status)
		if got.Status != text || !slices.Equal(got.Reasons, want) || (w.Header().Get("Retry-After") != "") != (want != nil) {
			t.Errorf("%s, Retry-After %q; want %q", w.Body, w.Header().Get("Retry-After"), want)
		}
		h := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200)
		if (h.Status == "ok") != (want == nil) {
			t.Errorf("health says %s", h.Status)
		}
	}
	t.Run("draining", func(t *testing.T) {
		s := newSite(t, nil)
		check(t, s)
		if err := s.handler.Drain(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		check(t, s, "the server is shutting down")
		if h := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200); h.Status != "draining" {
			t.Errorf("health says %s", h.Status)
		}
	})
	t.Run("source", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil)
			works := make(chan bool, 1)
			works <- false
			ok := false
			source := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
				select {
				case ok = <-works:
				default:
				}
				if !ok {
					return errors.New("dial 10.1.2.3: refused")
				}
				if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			})
			if err := s.hub.AddSource("one", source); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			check(t, s) // one failure is none
			time.Sleep(time.Minute)
			check(t, s) // its topic is unwell, the node is not
			if h := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200); h.Topics["one"]["status"] != "unwell" || h.Topics["two"]["status"] != "ok" {
				t.Errorf("%+v", h.Topics)
			}
			works <- true
			time.Sleep(time.Minute)
			check(t, s)
			s.hub.Close()
		})
	})
	t.Run("storage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var fault error
			hang := false
			s := newSite(t, func(o *web.Options) {
				o.Observe.Ready = func(ctx context.Context) error {
					if hang {
						<-ctx.Done()
						return ctx.Err()
					}
					return fault
				}
			})
			check(t, s)
			fault = errors.New("/var/lib/weir: no space left on device")
			check(t, s, "events cannot be kept at present")
			hang = true
			began := time.Now()
			check(t, s, "events cannot be kept at present")
			if took := time.Since(began); took > 5*time.Second { // two requests
				t.Errorf("it took %v", took)
			}
			s.hub.Close()
		})
	})
	t.Run("broker", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSiteOn(t, stream.HubOptions{Broker: brokenBroker{}}, nil)
			time.Sleep(time.Minute)
			check(t, s, "the broker cannot be reached, or takes no events (topics: 2)")
			s.hub.Close()
		})
	})
}

func cluster(o *web.Options) {
	o.Observe.Cluster = func(context.Context) (any, error) { return []string{"node-1", "node-2"}, nil }
}

// HEAD guesses no faster than GET.
func TestHeadIsCounted(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, "", "s", "")
		o.Limits.ConnectRate = 1
	})
	for _, target := range []string{"/sse-stream", "/sse-health", "/metrics", "/traces"} {
		codes := map[int]int{}
		for range 30 {
			codes[s.do("HEAD", target, "", "Authorization", "Bearer guess").Code]++
		}
		if codes[401] > 10 || codes[200] > 0 {
			t.Errorf("%s: %v", target, codes)
		}
	}
}
