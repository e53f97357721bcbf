package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/sse"
	"weir/stream/streamtest"
)

// A fixture is a hub of one topic, "a", behind a server in memory.
type fixture struct {
	hub      *stream.Hub
	handler  *stream.Handler
	listener *streamtest.Listener
	client   *http.Client
}

func newFixture(t *testing.T, hub stream.HubOptions, handler *stream.Handler) *fixture {
	t.Helper()
	f := &fixture{hub: stream.NewHub(hub), handler: handler, listener: streamtest.NewListener()}
	if err := f.hub.AddTopic("a"); err != nil {
		t.Fatal(err)
	}
	handler.Hub = f.hub
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(f.listener) }()
	transport := &http.Transport{DialContext: f.listener.Dial, DisableCompression: true}
	f.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-served
		f.hub.Close()
	})
	return f
}

func (f *fixture) publish(t *testing.T, data ...string) []stream.ID {
	t.Helper()
	events := make([]stream.Event, len(data))
	for i, d := range data {
		events[i] = stream.Event{Data: []byte(d)}
	}
	ids, err := f.hub.Publish(t.Context(), "a", events...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// A subscription is the client's side of one stream.
type subscription struct {
	*sse.Decoder
	status  int
	header  http.Header
	body    io.ReadCloser
	cancel  context.CancelFunc
	hello   map[string]any
	problem string
}

func (f *fixture) subscribe(t *testing.T, query string, header ...string) *subscription {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://weir/"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscription{Decoder: sse.NewDecoder(resp.Body), status: resp.StatusCode, header: resp.Header, body: resp.Body, cancel: cancel}
	t.Cleanup(s.close)
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		s.problem = string(b)
		return s
	}
	m := s.want(t, "connected")
	if err := json.Unmarshal(m.Data, &s.hello); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *subscription) close() { s.cancel(); s.body.Close() }

func (s *subscription) want(t *testing.T, event string) sse.Message {
	t.Helper()
	m, err := s.Next()
	if err != nil || m.Event != event {
		t.Fatalf("got %s %s %s, %v; want %s", m.Event, m.ID, m.Data, err, event)
	}
	m.Data = append([]byte(nil), m.Data...)
	return m
}

func (s *subscription) wantIDs(t *testing.T, ids ...stream.ID) {
	t.Helper()
	for _, id := range ids {
		if m := s.want(t, "message"); m.ID != id.String() {
			t.Fatalf("got event %s, want %s", m.ID, id)
		}
	}
}

// bubble runs a test of a server in a synctest bubble.
func bubble(t *testing.T, hub stream.HubOptions, handler *stream.Handler, test func(*testing.T, *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFixture(t, hub, handler)) })
}

func TestHeadersComeBeforeTheFirstEvent(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Node: "n1", Retry: 1500 * time.Millisecond}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Connection": "",
		} {
			if got := s.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if s.hello["node"] != "n1" || s.hello["topic"] != "a" || s.hello["resumed"] != false || s.hello["connection"] == "" {
			t.Errorf("connected says %v", s.hello)
		}
		if s.Retry() != 1500*time.Millisecond {
			t.Errorf("retry %v", s.Retry())
		}
		ids := f.publish(t, `{"n":1}`, `{"n":2}`)
		s.wantIDs(t, ids...)
	})
}

func TestResumeOverHTTP(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 4}}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := append(f.publish(t, `1`, `2`, `3`), f.publish(t, `4`, `5`, `6`)...)
		s := f.subscribe(t, "", "Last-Event-ID", ids[3].String())
		if s.hello["resumed"] != true {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, ids[4:]...)
		s.close()

		s = f.subscribe(t, "?last_event_id="+ids[4].String())
		s.wantIDs(t, ids[5])
		s.close()

		// The header wins.
		s = f.subscribe(t, "?last_event_id="+ids[1].String(), "Last-Event-ID", ids[4].String())
		s.wantIDs(t, ids[5])
		s.close()

		s = f.subscribe(t, "", "Last-Event-ID", ids[0].String())
		var gap struct{ From, To, Reason string }
		if err := json.Unmarshal(s.want(t, "gap").Data, &gap); err != nil {
			t.Fatal(err)
		}
		if gap.From != ids[0].String() || gap.To != ids[1].String() || gap.Reason != eventlog.GapExpired {
			t.Errorf("gap says %+v", gap)
		}
		s.wantIDs(t, ids[2:]...)
		s.close()

		// An ID that cannot exist: the client is told, and served.
		s = f.subscribe(t, "", "Last-Event-ID", "18446744073709551615-18446744073709551615")
		if m := s.want(t, "gap"); !strings.Contains(string(m.Data), eventlog.GapUnknown) {
			t.Errorf("gap says %s", m.Data)
		}
		s.close()

		s = f.subscribe(t, "", "Last-Event-ID", "no-such-thing")
		if s.hello["resumed"] != false || s.hello["last_event_id"] != "malformed" {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, f.publish(t, `7`)...)
	})
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		header      []string
		status      int
		says        string
	}{
		{"unknown topic", "?topic=b", nil, 404, "no such topic"},
		{"unknown format", "?format=xml", nil, 400, "Formats are: data, json"},
		{"not acceptable", "", []string{"Accept", "application/json"}, 406, "text/event-stream"},
		{"refused by q=0", "", []string{"Accept", "text/event-stream;q=0"}, 406, "text/event-stream"},
		{"browser", "", []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}, 200, ""},
		{"event stream", "", []string{"Accept", "text/event-stream"}, 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
				s := f.subscribe(t, tc.query, tc.header...)
				if s.status != tc.status || !strings.Contains(s.problem, tc.says) {
					t.Errorf("got %d %q, want %d with %q", s.status, s.problem, tc.status, tc.says)
				}
			})
		})
	}
}

func TestHeartbeatIsResetByEvents(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: 10 * time.Second}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		start := time.Now()
		s.want(t, "ping")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("first ping after %v", d)
		}
		time.Sleep(6 * time.Second)
		s.wantIDs(t, f.publish(t, `1`)...)
		synctest.Wait()
		start = time.Now()
		s.want(t, "ping")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("ping %v after an event, want 10s", d)
		}
		synctest.Wait()
		conns := f.handler.Conns()
		if len(conns) != 1 || !conns[0].LastWrite().Equal(time.Now()) {
			t.Errorf("the last write of %v is not now", conns)
		}
	})
}

func TestCloseTellsClientsNotToComeBack(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		ids := f.publish(t, `1`)
		if err := f.hub.EndTopic("a", "input has ended"); err != nil {
			t.Fatal(err)
		}
		s.wantIDs(t, ids...)
		if m := s.want(t, "close"); string(m.Data) != `{"reason":"input has ended"}` {
			t.Errorf("close says %s", m.Data)
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after close: %v", err)
		}
		// Who comes back all the same is told by 204, once it has everything.
		if s := f.subscribe(t, "", "Last-Event-ID", ids[0].String()); s.status != http.StatusNoContent {
			t.Errorf("coming back: %d", s.status)
		}
		fresh := f.subscribe(t, "")
		fresh.want(t, "close")
		synctest.Wait()
		if n := f.handler.Active(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// A client that does not read is cut after the write deadline, and no other
// waits for it.
func TestSlowClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := make(chan stream.CloseReason, 2)
		hooks := stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{Disconnect: func(reason stream.CloseReason, _ error) { reasons <- reason }}
		}}
		f := newFixture(t, stream.HubOptions{Hooks: hooks}, &stream.Handler{WriteTimeout: 5 * time.Second})
		slow, _ := f.listener.Dial(t.Context(), "", "")
		defer slow.Close()
		if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		start := time.Now() // the pipe holds nothing: already the headers block
		s := f.subscribe(t, "")
		s.wantIDs(t, f.publish(t, `1`)...)
		if d := time.Since(start); d != 0 {
			t.Errorf("the other client waited for %v", d)
		}
		if reason, d := <-reasons, time.Since(start); reason != stream.CloseSlow || d < 5*time.Second || d > 5*time.Second*9/8 {
			t.Errorf("cut with reason %s after %v, want slow after 5s, or an eighth more", reason, d)
		}
		synctest.Wait()
		if n := f.handler.Active(); n != 1 {
			t.Errorf("%d connections are open, want 1", n)
		}
	})
}

// A write deadline must not outlive its write: over an idle hour nothing
// happens but pings.
func TestIdleStreamLives(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: time.Minute, WriteTimeout: time.Second}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		for range 60 {
			s.want(t, "ping")
		}
		s.wantIDs(t, f.publish(t, `1`)...)
	})
}

func TestDrain(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		var subs []*subscription
		for range 20 {
			subs = append(subs, f.subscribe(t, ""))
		}
		start := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- f.handler.Drain(t.Context(), 10*time.Second) }()
		synctest.Wait()
		if s := f.subscribe(t, ""); s.status != http.StatusServiceUnavailable || s.header.Get("Retry-After") != "10" {
			t.Errorf("a newcomer gets %d, Retry-After %q", s.status, s.header.Get("Retry-After"))
		}
		var work sync.WaitGroup
		ends := make([]time.Duration, len(subs))
		retries := map[time.Duration]bool{}
		var mu sync.Mutex
		for i, s := range subs {
			work.Go(func() {
				s.want(t, "ping")
				if _, err := s.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("stream %d ended with %v, want an orderly end", i, err)
				}
				mu.Lock()
				defer mu.Unlock()
				ends[i] = time.Since(start)
				retries[s.Retry()] = true
			})
		}
		work.Wait()
		if err := <-drained; err != nil {
			t.Error(err)
		}
		early, late := ends[0], ends[0]
		for _, d := range ends {
			early, late = min(early, d), max(late, d)
		}
		if late > 10*time.Second || late-early < 3*time.Second {
			t.Errorf("streams ended from %v to %v, want them spread over 10s", early, late)
		}
		if len(retries) < 10 {
			t.Errorf("20 clients were told only %d different times to come back", len(retries))
		}
	})
}

func TestDrainAtOnce(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.handler.Drain(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("Drain: %v", err)
		}
		s.want(t, "ping")
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestLifetime(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Lifetime: 100 * time.Second, Heartbeat: time.Hour}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		start := time.Now()
		s.want(t, "ping")
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 90*time.Second || d > 110*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

// Clients that leave at every moment leave nothing behind.
func TestDepartures(t *testing.T) {
	released := 0
	var mu sync.Mutex
	subscribe := func(r *http.Request) (*stream.Subscription, error) {
		sub, err := stream.ParseSubscription(r)
		if err == nil {
			sub.Done = func() { mu.Lock(); released++; mu.Unlock() }
		}
		return sub, err
	}
	bubble(t, stream.HubOptions{}, &stream.Handler{Subscribe: subscribe}, func(t *testing.T, f *fixture) {
		f.publish(t, `1`, `2`, `3`)
		request := "GET /?last_event_id=0 HTTP/1.1\r\nHost: weir\r\n\r\n"
		admitted := 0
		for reads := range 12 {
			c, _ := f.listener.Dial(t.Context(), "", "")
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			admitted++
			buf := make([]byte, 64)
			for range reads {
				if _, err := c.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			synctest.Wait()
		}
		if n := f.handler.Active(); n != 0 || released != admitted {
			t.Errorf("%d connections are left, %d of %d slots released", n, released, admitted)
		}
		if n := f.handler.Totals().Closed[stream.CloseClient]; n != int64(admitted) {
			t.Errorf("closed: %v, want %d by the client", f.handler.Totals().Closed, admitted)
		}
	})
}

func TestFormat(t *testing.T) {
	renders := 0
	hub := stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
		"html": func(dst []byte, topic string, e *stream.Event) (string, []byte, error) {
			renders++ // in a bubble, where one reader is served after the other
			if string(e.Data) == `"bad"` {
				return "", nil, errors.New("cannot be rendered")
			}
			return "", append(append(append(dst, "<p>"...), e.Data...), "</p>"...), nil
		},
	}}
	bubble(t, hub, &stream.Handler{Format: "html"}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		old := f.publish(t, `1`, `2`)
		// The first live reader does not get what was there before it.
		a, b := f.subscribe(t, ""), f.subscribe(t, "")
		c := f.subscribe(t, "", "Last-Event-ID", old[0].String())
		c.wantIDs(t, old[1])
		ids := f.publish(t, `3`)
		for _, s := range []*subscription{a, b, c} {
			if m := s.want(t, "message"); m.ID != ids[0].String() || string(m.Data) != "<p>3</p>" {
				t.Errorf("got %s %s", m.ID, m.Data)
			}
		}
		json := f.subscribe(t, "?format=json", "Last-Event-ID", old[1].String())
		json.wantIDs(t, ids...)
		if renders != 2 {
			t.Errorf("rendered %d times for two events that three readers wanted", renders)
		}
		f.publish(t, `"bad"`)
		if m := a.want(t, "stream-error"); !strings.Contains(string(m.Data), "cannot be shown") {
			t.Errorf("stream-error says %s", m.Data)
		}
		a.wantIDs(t, f.publish(t, `4`)...)
		if err := f.hub.EndTopic("a", "over"); err != nil {
			t.Fatal(err)
		}
		a.want(t, "close")
	})
}

// The first client of a view comes back: the view is empty still, and yet it
// gets all that it has missed.
func TestResumeInAViewThatIsBehind(t *testing.T) {
	hub := stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
		"html": func(dst []byte, topic string, e *stream.Event) (string, []byte, error) {
			return "", append(dst, e.Data...), nil
		},
	}}
	bubble(t, hub, &stream.Handler{Format: "html"}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := f.publish(t, `1`, `2`, `3`)
		s := f.subscribe(t, "", "Last-Event-ID", ids[0].String())
		if s.hello["position"] != ids[0].String() {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, ids[1:]...)
		s.wantIDs(t, f.publish(t, `4`)...)
	})
}

func TestPanicAtConnectLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := 0
		hooks := stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks { panic(http.ErrAbortHandler) }}
		f := newFixture(t, stream.HubOptions{Hooks: hooks}, &stream.Handler{
			Subscribe: func(*http.Request) (*stream.Subscription, error) {
				return &stream.Subscription{Topic: "a", Done: func() { released++ }}, nil
			},
		})
		if _, err := f.client.Get("http://weir/"); err == nil {
			t.Error("a stream began")
		}
		synctest.Wait()
		if f.handler.Active() != 0 || released != 1 {
			t.Errorf("%d connections are left, the slot was released %d times", f.handler.Active(), released)
		}
	})
}

func TestPanicInAHookEndsTheConnectionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := make(chan stream.CloseReason, 1)
		hooks := stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{
				Flush:      func(*stream.Flush) { panic(http.ErrAbortHandler) },
				Disconnect: func(reason stream.CloseReason, _ error) { reasons <- reason },
			}
		}}
		f := newFixture(t, stream.HubOptions{Hooks: hooks}, &stream.Handler{})
		s := f.subscribe(t, "")
		f.publish(t, `1`)
		s.want(t, "message")
		if reason := <-reasons; reason != stream.ClosePanic {
			t.Errorf("reason %s", reason)
		}
		synctest.Wait()
		if f.handler.Active() != 0 {
			t.Error("the connection is still counted")
		}
	})
}
