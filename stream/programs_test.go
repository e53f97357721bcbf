package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
)

// A refusal that cannot be an answer is a fault of the program's.
func TestRefusalsThatAreNone(t *testing.T) {
	var none *stream.Refusal
	for name, err := range map[string]error{
		"nil": none, "nil, wrapped": fmt.Errorf("so: %w", none), "empty": &stream.Refusal{}, "100": &stream.Refusal{Status: 100}, "1000": &stream.Refusal{Status: 1000},
	} {
		var log streamtest.Buffer
		hub := stream.NewHub(stream.HubOptions{})
		defer hub.Close()
		h := &stream.Handler{Hub: hub, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Subscribe: func(*http.Request) (*stream.Subscription, error) { return nil, err }}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != http.StatusInternalServerError || !strings.Contains(log.String(), "efusal") || strings.Contains(log.String(), "panic") {
			t.Errorf("%s: status %d, log: %s", name, w.Code, log.String())
		}
	}
}

// Formats that nobody could read are told of at once.
func TestFormatsThatAreNone(t *testing.T) {
	good := func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
		return "", append(dst, e.Data...), nil
	}
	for format, formatter := range map[stream.Format]stream.Formatter{"mine": nil, "": good, stream.FormatData: good, stream.FormatJSON: good} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, fmt.Sprintf("%q", format)) {
					t.Errorf("format %q: %s", format, p)
				}
			}()
			stream.NewHub(stream.HubOptions{Formats: map[stream.Format]stream.Formatter{format: formatter}})
		}()
	}
}

// A format gives no event the name of a control event, which a client would obey. The
// log tells what a formatter does wrong: of each format, and not of each event.
func TestFaultsOfFormatters(t *testing.T) {
	named := func(name string, err error) stream.Formatter {
		return func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
			return name, append(dst, e.Data...), err
		}
	}
	faulty := map[stream.Format]stream.Formatter{
		"close": named("close", nil), "trimmed": named(" stream-error ", nil), "open": named("open", nil), "forged": named("a\nid: 9", nil),
		"error": named("", errors.New("a fault")), "panic": func([]byte, string, *stream.Event) (string, []byte, error) { panic("a fault") },
	}
	var log streamtest.Buffer
	bubble(t, stream.HubOptions{Formats: faulty, Logger: slog.New(slog.NewTextHandler(&log, nil))}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		ids := f.publish(t, "1", "2")
		for format := range faulty {
			s := f.subscribe(t, "?last=2&format="+string(format))
			for _, id := range ids {
				if m := s.want(t, "stream-error"); m.ID != id.String() || !strings.Contains(string(m.Data), "cannot be shown") {
					t.Errorf("format %s: event %s: %s", format, m.ID, m.Data)
				}
			}
			if n := strings.Count(log.String(), "format="+string(format)+" "); n != 1 {
				t.Errorf("the log tells %d times of format %s: %s", n, format, log.String())
			}
			s.close()
		}
		time.Sleep(time.Minute)
		f.publish(t, "3")
		f.subscribe(t, "?last=1&format=error").want(t, "stream-error")
		if n := strings.Count(log.String(), "format=error "); n != 2 {
			t.Errorf("after a minute the log has told %d times", n)
		}
	})
}

// Closing a hub again waits for the first Close only, and nothing says that a topic
// has ended.
func TestClosingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log streamtest.Buffer
		hub := stream.NewHub(stream.HubOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := hub.AddTopic("a"); err != nil {
			t.Fatal(err)
		}
		stuck := make(chan struct{})
		defer close(stuck)
		if err := hub.AddSource("a", stream.SourceFunc(func(context.Context, stream.Publisher) error { <-stuck; return nil })); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		hub.Close()
		first := time.Since(began)
		hub.Close()
		if all := time.Since(began); first == 0 || all != first || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("it took %v, and again %v; log: %s", first, all-first, log.String())
		}
		if _, err := hub.Publish(t.Context(), "a", stream.Event{}); !errors.Is(err, stream.ErrClosed) || strings.Contains(err.Error(), "ended") {
			t.Errorf("Publish says %v", err)
		}
	})
}
