package stream_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// A plainWrapper is a middleware's writer that can write and flush, and nothing else.
type plainWrapper struct{ w http.ResponseWriter }

func (p plainWrapper) Header() http.Header         { return p.w.Header() }
func (p plainWrapper) WriteHeader(status int)      { p.w.WriteHeader(status) }
func (p plainWrapper) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p plainWrapper) Flush()                      { p.w.(http.Flusher).Flush() }

// A deadlineWrapper is one that can set a write deadline as well.
type deadlineWrapper struct{ plainWrapper }

func (d deadlineWrapper) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(d.w).SetWriteDeadline(t)
}

// An EventSource that comes during a drain, through a middleware that makes a 500 of
// each panic, at which it would give up: its connection is closed without an answer, and
// where that cannot be it is told by a stream when to come back.
func TestDrainBehindARecoveringMiddleware(t *testing.T) {
	wrapped := func(w http.ResponseWriter) http.ResponseWriter { return plainWrapper{w} }
	deadline := func(w http.ResponseWriter) http.ResponseWriter { return deadlineWrapper{plainWrapper{w}} }
	for name, tc := range map[string]struct {
		http2, answered bool
		wrap            func(http.ResponseWriter) http.ResponseWriter
	}{
		"http/1":                            {},
		"http/1, writer without more":       {wrap: wrapped, answered: true},
		"http/1, writer with deadlines":     {wrap: deadline},
		"http/2":                            {http2: true},
		"http/2, writer without more":       {http2: true, wrap: wrapped, answered: true},
		"http/2, writer that has deadlines": {http2: true, wrap: deadline},
	} {
		t.Run(name, func(t *testing.T) {
			hub := stream.NewHub(stream.HubOptions{})
			defer hub.Close()
			handler := &stream.Handler{Hub: hub}
			if err := handler.Drain(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			var panics atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if recover() != nil {
						panics.Add(1)
						http.Error(w, "a fault", http.StatusInternalServerError)
					}
				}()
				if tc.wrap != nil {
					w = tc.wrap(w)
				}
				handler.ServeHTTP(w, r)
			}))
			if server.EnableHTTP2 = tc.http2; tc.http2 {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/event-stream")
			resp, err := server.Client().Do(r)
			if err == nil {
				defer resp.Body.Close()
			}
			switch {
			case panics.Load() != 0:
				t.Error("ServeHTTP panicked")
			case (err == nil) != tc.answered:
				t.Errorf("answered: %v, want %v (%v)", err == nil, tc.answered, err)
			case tc.answered:
				d := sse.NewDecoder(resp.Body)
				m, err := d.Next()
				if err != nil || resp.StatusCode != http.StatusOK || m.Event != "stream-error" || d.Retry() < 50*time.Second {
					t.Errorf("%d, %s, retry %v, %v", resp.StatusCode, m.Event, d.Retry(), err)
				}
			}
		})
	}
}

// A drain whose time is over cuts off who takes nothing, when it said that it would, and
// tells that as its own doing.
func TestDrainCutsOffWhoTakesNothing(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 1_000_000, Bytes: 1 << 30}}, &stream.Handler{WriteTimeout: time.Hour})
		s.dial(t)
		until(t, "the connection", func() bool { return s.handler.Active() == 1 })
		c := s.handler.Conns()[0]
		until(t, "a write to wait", func() bool {
			waits, _ := c.Stuck()
			if waits == 0 {
				s.publish(t, `"`+strings.Repeat("x", 50_000)+`"`)
			}
			return waits > time.Second/4 && untaken(c)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		over := make(chan error, 1)
		go func() { over <- s.handler.Drain(ctx, 0) }()
		until(t, "the drain", s.handler.Draining)
		if _, left := c.Stuck(); left > time.Second/2 {
			t.Errorf("it is to be cut off in %v", left)
		}
		if err := <-over; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the drain ends with %v", err)
		}
		if n := s.handler.Active(); n != 0 || c.Left() != "drain" || s.handler.Totals().Closed["drain"] != 1 {
			t.Errorf("after the drain %d streams are open; the one that took nothing ended as %q", n, c.Left())
		}
	})
}
