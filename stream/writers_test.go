package stream_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
)

// A flushingWrapper is a middleware's writer whose FlushError is what it is given.
type flushingWrapper struct {
	plainWrapper
	flush func() error
}

func (w flushingWrapper) FlushError() error { return w.flush() }

// hidden keeps the Flush of a plainWrapper from being found.
type hidden struct {
	http.ResponseWriter
	flush func() error
}

func (h hidden) FlushError() error { return h.flush() }

// A writer that has a method to flush, which then says that it cannot, is refused as
// one without the method is; one that can is served.
func TestWriterThatSaysLateThatItCannotFlush(t *testing.T) {
	for _, compress := range []bool{false, true} {
		var log streamtest.Buffer
		hub := stream.NewHub(stream.HubOptions{})
		defer hub.Close()
		if err := hub.AddTopic("a"); err != nil {
			t.Fatal(err)
		}
		handler := &stream.Handler{Hub: hub, Logger: slog.New(slog.NewTextHandler(&log, nil)), Compress: compress}
		serve := func(flush func() error) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // an empty stream would be open for ever
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, "GET", "/?last_event_id=0", nil)
			r.Header.Set("Accept-Encoding", "gzip")
			handler.ServeHTTP(hidden{struct{ http.ResponseWriter }{w}, flush}, r)
			return w
		}
		cannot := func() error { return fmt.Errorf("below: %w", http.ErrNotSupported) }
		w := serve(cannot)
		if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Encoding") != "" || !strings.Contains(w.Body.String(), "its log says why") {
			t.Errorf("status %d %v: %q", w.Code, w.Header(), w.Body)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "stream_test.hidden") {
			t.Errorf("log: %s", got)
		}
		if totals := handler.Totals(); totals.Rejected != 1 || handler.Active() != 0 {
			t.Errorf("%+v, %d streams are open", totals, handler.Active())
		}
		if health, _ := hub.TopicHealth("a"); health.Readers != 0 {
			t.Errorf("%d readers are left", health.Readers)
		}
		if err := hub.EndTopic("a", "over"); err != nil {
			t.Fatal(err)
		}
		if w := serve(func() error { return nil }); w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("a writer that can flush: status %d, %q", w.Code, w.Body)
		}
	}
}

// Where no write deadline can be set the log says so: once for each type of writer.
func TestWriterThatTakesNoDeadline(t *testing.T) {
	var log streamtest.Buffer
	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	if err := hub.AddTopic("a"); err != nil {
		t.Fatal(err)
	}
	if err := hub.EndTopic("a", "over"); err != nil {
		t.Fatal(err)
	}
	handler := &stream.Handler{Hub: hub, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(w.Body.String(), "event: close") || log.String() != "" {
		t.Errorf("a test's writer gets %q, the log says %s", w.Body, log.String())
	}
	for _, tc := range []struct {
		wrap  func(http.ResponseWriter) http.ResponseWriter
		lines int
	}{
		{func(w http.ResponseWriter) http.ResponseWriter { return w }, 0},
		{func(w http.ResponseWriter) http.ResponseWriter { return plainWrapper{w} }, 1},
		{func(w http.ResponseWriter) http.ResponseWriter {
			return flushingWrapper{plainWrapper{w}, http.NewResponseController(w).Flush}
		}, 2},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(tc.wrap(w), r) }))
		for range 2 {
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "event: close") {
				t.Errorf("the stream is %q, %v", body, err)
			}
			resp.Body.Close()
		}
		server.Close()
		if got := log.String(); strings.Count(got, "\n") != tc.lines || tc.lines > 0 && !strings.Contains(got, "plainWrapper") || tc.lines > 1 && !strings.Contains(got, "flushingWrapper") {
			t.Errorf("%d lines wanted: %s", tc.lines, got)
		}
	}
}

// A write that http.Server.WriteTimeout ends, where it cannot be set aside, is no
// client that took nothing.
func TestEndByTheServersWriteTimeout(t *testing.T) {
	ended := make(chan stream.CloseReason, 1)
	hub := stream.NewHub(stream.HubOptions{Hooks: stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
		return stream.ConnHooks{Disconnect: func(reason stream.CloseReason, _ error) { ended <- reason }}
	}}})
	defer hub.Close()
	if err := hub.AddTopic("a"); err != nil {
		t.Fatal(err)
	}
	handler := &stream.Handler{Hub: hub, Heartbeat: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(flushingWrapper{plainWrapper{w}, http.NewResponseController(w).Flush}, r)
	}))
	server.Config.WriteTimeout = 500 * time.Millisecond
	server.Start()
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // it is cut off
	if reason := <-ended; reason != "error" {
		t.Errorf("the stream ended as %s", reason)
	}
}
