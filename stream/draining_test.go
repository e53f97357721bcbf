package stream_test

import (
	"net/http"
	"net/http/httptest"
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
