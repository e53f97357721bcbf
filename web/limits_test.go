package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/web"
	"weir/web/limits"
)

// hold opens a stream in a goroutine, and returns once it is answered, with
// what ends it.
func (s *site) hold(addr string, header ...string) (refused *http.Response, leave func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := newRequest("GET", "/sse-stream", "", header...).WithContext(ctx)
	r.RemoteAddr = addr
	w := &flushes{header: http.Header{}, first: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.public.ServeHTTP(w, r)
	}()
	select {
	case <-w.first:
		return nil, sync.OnceFunc(func() { cancel(); <-done })
	case <-done:
		cancel()
		return &http.Response{StatusCode: w.status, Header: w.header}, func() {}
	}
}

// flushes tells of the first flush.
type flushes struct {
	header http.Header
	status int
	once   sync.Once
	first  chan struct{}
}

func (f *flushes) Header() http.Header         { return f.header }
func (f *flushes) WriteHeader(status int)      { f.status = status }
func (f *flushes) Write(p []byte) (int, error) { return len(p), nil }
func (f *flushes) FlushError() error           { f.once.Do(func() { close(f.first) }); return nil }

func (s *site) wantSlots(total, clients int) {
	s.t.Helper()
	if n, c := s.server.Slots(); n != total || c != clients {
		s.t.Errorf("%d slots of %d clients are taken, want %d of %d", n, c, total, clients)
	}
}

func (s *site) wantRefused(resp *http.Response, status int) {
	s.t.Helper()
	if resp == nil {
		s.t.Errorf("a stream was opened, want status %d", status)
		return
	}
	after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != status || err != nil || after < 1 {
		s.t.Errorf("status %d, Retry-After %q; want %d", resp.StatusCode, resp.Header.Get("Retry-After"), status)
	}
}

func TestConns(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Limits.Conns = 2 })
	_, leave1 := s.hold("192.0.2.1:1")
	_, leave2 := s.hold("192.0.2.2:1")
	s.wantSlots(2, 2)
	refused, _ := s.hold("192.0.2.3:1")
	s.wantRefused(refused, 503)
	s.wantSlots(2, 2) // nobody was evicted
	leave1()
	leave1()
	s.wantSlots(1, 1)
	_, leave3 := s.hold("192.0.2.3:1")
	s.wantSlots(2, 2)
	leave2()
	leave3()
	s.wantSlots(0, 0)
	if got := s.handler.Totals(); got.Rejected != 1 || got.Connections != 3 {
		t.Errorf("%+v", got)
	}
}

func TestConnsPerClient(t *testing.T) {
	trusted, err := limits.ParseProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(o *web.Options) { o.Limits.ConnsPerClient, o.Limits.Proxies = 1, trusted })
	for _, same := range [][2]string{
		{"192.0.2.1:1", "192.0.2.1:2"},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:2"},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff:ffff:ffff:ffff]:2"}, // one subscriber's network
	} {
		_, leave := s.hold(same[0])
		refused, _ := s.hold(same[1])
		s.wantRefused(refused, 429)
		leave()
		s.wantSlots(0, 0)
	}
	for _, differ := range [][2]string{
		{"192.0.2.1:1", "192.0.2.2:1"},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1"},
	} {
		_, leave1 := s.hold(differ[0])
		_, leave2 := s.hold(differ[1])
		s.wantSlots(2, 2)
		leave1()
		leave2()
	}
	// Behind a proxy, it is the proxy's clients who count; elsewhere a header
	// helps nobody to a second stream.
	_, leave1 := s.hold("10.0.0.1:1", "X-Forwarded-For", "198.51.100.1")
	_, leave2 := s.hold("10.0.0.1:2", "X-Forwarded-For", "198.51.100.2")
	s.wantSlots(2, 2)
	refused, _ := s.hold("10.0.0.2:1", "X-Forwarded-For", "203.0.113.1, 198.51.100.2")
	s.wantRefused(refused, 429)
	_, leave3 := s.hold("192.0.2.1:1", "X-Forwarded-For", "203.0.113.1")
	refused, _ = s.hold("192.0.2.1:1", "X-Forwarded-For", "203.0.113.2")
	s.wantRefused(refused, 429)
	leave1()
	leave2()
	leave3()
	s.wantSlots(0, 0)
}

// A request that gets no stream for another reason keeps no slot.
func TestSlotsOfRefusals(t *testing.T) {
	s := newSiteOn(t, stream.HubOptions{Broker: brokenBroker{}}, func(o *web.Options) { o.Limits.Conns = 10 })
	for _, target := range []string{"/sse-stream", "/sse-stream?topic=none", "/sse-stream?format=none"} {
		if w := s.glance(target); w.Code == 200 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	s.do("HEAD", "/sse-stream", "")
	s.do("POST", "/sse-stream", "")
	s.wantSlots(0, 0)
	s = newSite(t, func(o *web.Options) { o.Limits.Conns = 10 })
	if err := s.handler.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.wantRefused(s.glance("/sse-stream").Result(), 503)
	s.wantSlots(0, 0)
	// A client that has all of a topic that has ended.
	s = newSite(t, func(o *web.Options) { o.Limits.Conns = 10 })
	ids, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hub.EndTopic("one", "over"); err != nil {
		t.Fatal(err)
	}
	if w := s.glance("/sse-stream?format=json", "Last-Event-ID", ids[0].String()); w.Code != 204 {
		t.Errorf("status %d", w.Code)
	}
	s.wantSlots(0, 0)
}

func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(o *web.Options) { o.Limits.ConnectRate = 2 })
		open := func(addr string, n int) (opened int) {
			for range n {
				w := s.glanceFrom(addr, "/sse-stream")
				switch w.Code {
				case 200:
					opened++
				case 429:
					if p := wantProblem(t, w, 429, "short time"); p.Reason != "connect_rate" || w.Header().Get("Retry-After") != "1" {
						t.Errorf("reason %q, Retry-After %q", p.Reason, w.Header().Get("Retry-After"))
					}
				default:
					t.Errorf("status %d", w.Code)
				}
			}
			return opened
		}
		if got := open("192.0.2.1:1", 50); got != 20 {
			t.Errorf("a burst of %d, want ten seconds' worth", got)
		}
		if got := open("192.0.2.2:1", 1); got != 1 {
			t.Error("another client is refused")
		}
		if got := open("[2001:db8::1]:1", 15) + open("[2001:db8::2]:1", 15); got != 20 {
			t.Errorf("one IPv6 network opens %d", got)
		}
		time.Sleep(3 * time.Second)
		if got := open("192.0.2.1:1", 50); got != 6 {
			t.Errorf("%d after three seconds", got)
		}
		time.Sleep(499 * time.Millisecond)
		if got := open("192.0.2.1:1", 1); got != 0 {
			t.Error("a stream too early")
		}
		time.Sleep(time.Millisecond)
		if got := open("192.0.2.1:1", 2); got != 1 {
			t.Errorf("%d at the moment that Retry-After tells", got)
		}
		time.Sleep(24 * time.Hour)
		if got := open("192.0.2.1:1", 50); got != 20 {
			t.Errorf("%d after a day", got)
		}
		s.wantSlots(0, 0)
	})
}

// Clients leave at every moment: before their request is whole, before the
// answer, in the headers, in the replay, mid-write; by FIN and by RST. No slot
// is lost.
func TestSlotsAreNeverLost(t *testing.T) {
	for _, transport := range []stream.Transport{stream.TransportLean, stream.TransportPlain} {
		t.Run(strings.ReplaceAll(string(transport), "/", "-"), func(t *testing.T) {
			s := newSite(t, func(o *web.Options) {
				o.Stream.Transport = transport
				o.Stream.WriteTimeout = 2 * time.Second
				o.Limits = web.Limits{Limits: limits.Limits{Conns: 25, ConnsPerClient: 20}}
			})
			server := s.listen()
			payload := []byte(`"` + strings.Repeat("x", 1000) + `"`)
			first, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: payload})
			if err != nil {
				t.Fatal(err)
			}
			for range 100 { // something to replay
				if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: payload}); err != nil {
					t.Fatal(err)
				}
			}
			publishing, stop := context.WithCancel(context.Background())
			var publisher, clients sync.WaitGroup
			publisher.Go(func() {
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for publishing.Err() == nil {
					<-tick.C
					if _, err := s.hub.Publish(publishing, "one", stream.Event{Data: payload}); err != nil {
						t.Error(err)
						return
					}
				}
			})
			const workers, each = 64, 160
			var opened, refused atomic.Int64
			for range workers {
				clients.Go(func() {
					for range each {
						visit(t, server.Listener.Addr().String(), first[0], &opened, &refused)
					}
				})
			}
			clients.Wait()
			until(t, "the slots to come back", func() bool {
				total, perClient := s.server.Slots()
				return total == 0 && perClient == 0
			})
			stop()
			publisher.Wait()
			until(t, "the connections to be over", func() bool { return s.handler.Active() == 0 })
			totals := s.handler.Totals()
			var closed int64
			for _, n := range totals.Closed {
				closed += n
			}
			if closed != totals.Connections || totals.Connections < opened.Load() {
				t.Errorf("%d were admitted, %d seen open, %d are over", totals.Connections, opened.Load(), closed)
			}
			t.Logf("%d streams were open, %d refused", opened.Load(), refused.Load())
			if opened.Load() < workers/2 || refused.Load() == 0 {
				t.Errorf("%d streams were open, %d refused: that tests little", opened.Load(), refused.Load())
			}
			// And there is room for everybody again.
			for range 20 {
				subscribe(t, server.URL+"/sse-stream")
			}
			s.wantSlots(20, 1)
		})
	}
}

// visit is one client that leaves at a random moment.
func visit(t *testing.T, addr string, first stream.ID, opened, refused *atomic.Int64) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if rand.IntN(2) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0) // leave by RST
	}
	request := fmt.Sprintf("GET /sse-stream?topic=one HTTP/1.1\r\nHost: x\r\nLast-Event-ID: %v\r\n\r\n", first)
	moment := func() time.Time { return time.Now().Add(time.Duration(rand.IntN(50)) * time.Millisecond) }
	deadline := moment() // for the answer
	switch rand.IntN(6) {
	case 0: // before the request is whole
		_, _ = io.WriteString(conn, request[:rand.IntN(len(request))])
		return
	case 1: // before the answer
		_, _ = io.WriteString(conn, request)
		return
	case 2: // having closed its side only
		_, _ = io.WriteString(conn, request)
		_ = conn.(*net.TCPConn).CloseWrite()
	case 3: // about when the answer comes
		_, _ = io.WriteString(conn, request)
	default: // having had the answer
		_, _ = io.WriteString(conn, request)
		deadline = time.Now().Add(20 * time.Second)
	}
	// After so many bytes, or after so long, whichever is first.
	r := bufio.NewReader(io.LimitReader(conn, int64(20+rand.IntN(150_000))))
	_ = conn.SetReadDeadline(deadline)
	status, err := r.ReadString('\n')
	switch {
	case err != nil:
		return
	case strings.Contains(status, " 200 "):
		opened.Add(1)
	case strings.Contains(status, " 503 "), strings.Contains(status, " 429 "):
		refused.Add(1)
	default:
		t.Errorf("answer %q", status)
	}
	_ = conn.SetReadDeadline(moment())
	_, _ = io.Copy(io.Discard, r)
}
