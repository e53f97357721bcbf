package sse_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/sse"
)

func TestClientGivesUpASilentStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for events, first := range []answer{{status: -1}, {status: 200, body: event1, stay: -1}} {
			s := &script{answers: []answer{first, {status: 204}}}
			o := s.options()
			var lost error
			o.Lost = func(err error, _ time.Duration) { lost = err }
			got, err := read(t.Context(), o, -1)
			if err != nil || len(got) != events || !errors.Is(lost, sse.ErrIdle) {
				t.Errorf("got %q, %v; lost by %v", got, err, lost)
			}
			if wait := s.waits()[0]; !within(wait, 122*time.Second, 123*time.Second) {
				t.Errorf("it came back after %v", wait)
			}
		}
	})
}

func TestClientDoesNotTakeItsOwnReaderForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: 200, body: event1 + event2}, {status: 204}}}
		o := s.options()
		var lost error
		o.Lost = func(err error, _ time.Duration) { lost = err }
		for range sse.Read(t.Context(), "http://test/", o) {
			time.Sleep(time.Hour) // the loop's own work, on a clock that does not cost time
		}
		if ids := s.ids(); !slices.Equal(ids, []string{"-", "2"}) || !errors.Is(lost, io.EOF) {
			t.Errorf("asked behind %q, lost by %v: a stream was given up", ids, lost)
		}
	})
}

func TestClientWithoutAWatchdogWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		s := &script{answers: []answer{{status: 200, body: event1, stay: -1}}}
		o := s.options()
		o.IdleTimeout = -1
		_, err := read(ctx, o, -1)
		if !errors.Is(err, context.DeadlineExceeded) || len(s.ids()) != 1 {
			t.Errorf("got %v after %d requests", err, len(s.ids()))
		}
	})
}

// With HTTP/2 the next request would go out by the connection that is silent.
func TestClientLeavesASilentConnection(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conns.Load() > 1 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, event1)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	transport := &http.Transport{Protocols: srv.Config.Protocols}
	defer transport.CloseIdleConnections()
	o := quick()
	o.HTTPClient, o.IdleTimeout = &http.Client{Transport: transport}, 50*time.Millisecond
	var lost []error
	o.Lost = func(err error, _ time.Duration) {
		if lost = append(lost, err); len(lost) == 5 {
			transport.CloseIdleConnections() // it would go on for ever
			t.Error("it comes back by the connection that is silent")
		}
	}
	if _, err := collect(sse.NewClient(srv.URL, o), t.Context(), -1); err != nil || len(lost) == 0 || !errors.Is(lost[0], sse.ErrIdle) {
		t.Errorf("%v; lost by %v", err, lost)
	}
}
