package stream_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// A request that gets no stream is no reader afterwards: HEAD, and one that a
// drain overtakes while its topic is being made.
func TestNoStreamNoReader(t *testing.T) {
	var handler *stream.Handler
	drain := false
	hub := stream.NewHub(stream.HubOptions{OnDemand: func(string) (stream.TopicOptions, bool) {
		if drain {
			_ = handler.Drain(t.Context(), 0)
		}
		return stream.TopicOptions{}, true
	}})
	defer hub.Close()
	handler = &stream.Handler{Hub: hub}
	for _, tc := range []struct {
		method, topic string
		drain         bool
		status        int
	}{{"HEAD", "one", false, 200}, {"GET", "two", true, 503}} {
		drain = tc.drain
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(tc.method, "/?topic="+tc.topic, nil))
		health, err := hub.TopicHealth(tc.topic)
		if err != nil || w.Code != tc.status || health.Readers != 0 || handler.Active() != 0 {
			t.Errorf("%s: %d, then %d readers and %d streams, %v", tc.method, w.Code, health.Readers, handler.Active(), err)
		}
	}
}

// unhijackable is the writer of a middleware that can flush, and hides the
// connection.
type unhijackable struct {
	http.ResponseWriter
	http.Flusher
}

// A connection that cannot be taken over after all leaves nothing running.
func TestHijackFails(t *testing.T) {
	before := runtime.NumGoroutine()
	hub := stream.NewHub(stream.HubOptions{})
	_ = hub.AddTopic("a")
	handler := &stream.Handler{Hub: hub, Transport: stream.TransportLean}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(unhijackable{w, w.(http.Flusher)}, r)
	}))
	server.Config.ConnContext = stream.ConnContext
	server.Start()
	s := &site{fixture: &fixture{hub: hub, handler: handler, client: &http.Client{Transport: &http.Transport{}}}, url: server.URL, server: server}
	sub := s.subscribe(t, "")
	sub.wantIDs(t, s.publish(t, "1")...)
	sub.close()
	until(t, "the stream to end", func() bool { return handler.Active() == 0 })
	server.Close()
	s.client.CloseIdleConnections()
	hub.Close()
	until(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// A panic in any hook ends its connection alone, which gives back what it had.
func TestPanicsGiveBack(t *testing.T) {
	for _, guilty := range []string{"open", "flush", "gap", "heartbeat", "disconnect"} {
		t.Run(guilty, func(t *testing.T) {
			onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
				var mu sync.Mutex
				taken := 0
				slot := func(n int) func() { return func() { mu.Lock(); defer mu.Unlock(); taken += n } }
				fault := func(hook string) {
					if hook == guilty {
						panic(http.ErrAbortHandler)
					}
				}
				s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 2}, Hooks: stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
					return stream.ConnHooks{
						Open:       func(time.Time) { fault("open") },
						Flush:      func(*stream.Flush) { fault("flush") },
						Gap:        func(*eventlog.Gap, time.Time) { fault("gap") },
						Heartbeat:  func(time.Time) { fault("heartbeat") },
						Disconnect: func(stream.CloseReason, error) { fault("disconnect") },
					}
				}}}, &stream.Handler{Heartbeat: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler), Subscribe: func(r *http.Request) (*stream.Subscription, error) {
					sub, err := stream.ParseSubscription(r)
					if err == nil {
						slot(+1)()
						sub.Done = slot(-1)
					}
					return sub, err
				}})
				first := s.publish(t, "1")
				s.publish(t, "2", "3")
				s.publish(t, "4")
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				r, err := http.NewRequestWithContext(ctx, "GET", s.url+"/?last_event_id="+first[0].String(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp, err := s.client.Do(r); err == nil {
					defer resp.Body.Close()
				}
				if guilty == "disconnect" {
					leave()
				}
				until(t, "the stream to end", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return taken == 0 && s.handler.Active() == 0
				})
				if health, _ := s.hub.TopicHealth("a"); health.Readers != 0 {
					t.Errorf("%d readers are left", health.Readers)
				}
			})
		})
	}
}
