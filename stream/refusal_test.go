package stream_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// A refusal that will pass must not end an EventSource, and must be a status for
// whoever can read one.
func TestWhoIsRefusedHow(t *testing.T) {
	const eventSource = "text/event-stream"
	for _, tc := range []struct {
		accept string // - for no such header
		only   bool   // it can read nothing but a stream
	}{
		{eventSource, true},
		{"text/html, text/event-stream", true}, // htmx 4
		{"text/event-stream;q=0.9", true},
		{"text/event-stream, application/json;q=0", true},
		{"-", false},
		{"*/*", false},
		{"text/event-stream, */*", false},
		{"text/event-stream, application/problem+json", false},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false}, // a browser that shows a page
	} {
		for _, refusal := range []*stream.Refusal{
			{Status: http.StatusTooManyRequests, Detail: "Later."},
			{Status: http.StatusServiceUnavailable, Reason: "drain", Detail: "Later."},
			{Status: http.StatusForbidden, Detail: "Never."},
		} {
			h := &stream.Handler{Hub: stream.NewHub(stream.HubOptions{}), Subscribe: func(*http.Request) (*stream.Subscription, error) { return nil, refusal }}
			r := httptest.NewRequest("GET", "/", nil)
			if tc.accept != "-" {
				r.Header.Set("Accept", tc.accept)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := refusal.Status
			if tc.only && want != http.StatusForbidden {
				want = http.StatusOK
				if body := w.Body.String(); !strings.HasPrefix(body, "retry: ") || !strings.Contains(body, "event: stream-error\ndata: {\"message\":\"Later.\"}") {
					t.Errorf("Accept %q: the stream says %q", tc.accept, body)
				}
			}
			if w.Code != want {
				t.Errorf("Accept %q, %d: it is answered by %d, want %d", tc.accept, refusal.Status, w.Code, want)
			}
		}
	}
}

// A refusal tells when to come back: in whole seconds that are not too early, and
// in a stream not before either the refusal or the handler asks it.
func TestWhenToComeBack(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "", time.Nanosecond: "1", time.Second: "1", 1500 * time.Millisecond: "2", time.Minute: "60"} {
		h := http.Header{}
		(&stream.Refusal{RetryAfter: d}).SetRetryAfter(h)
		if got := h.Get("Retry-After"); got != want {
			t.Errorf("%v is told as %q, want %q", d, got, want)
		}
	}
	for _, tc := range []struct{ after, retry, least time.Duration }{
		{time.Minute, time.Second, time.Minute}, {time.Second, time.Minute, time.Minute}, {0, 0, 2 * time.Second},
	} {
		h := &stream.Handler{Hub: stream.NewHub(stream.HubOptions{}), Retry: tc.retry, Subscribe: func(*http.Request) (*stream.Subscription, error) {
			return nil, &stream.Refusal{Status: http.StatusTooManyRequests, RetryAfter: tc.after, Detail: "Later."}
		}}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", "text/event-stream")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		d := sse.NewDecoder(w.Body)
		if _, err := d.Next(); err != nil || d.Retry() < tc.least || d.Retry() > 2*tc.least {
			t.Errorf("after %v, or %v: it says %v, %v", tc.after, tc.retry, d.Retry(), err)
		}
	}
}

// What a refusal adds to the header is in the answer.
func TestHeaderOfARefusal(t *testing.T) {
	h := &stream.Handler{Hub: stream.NewHub(stream.HubOptions{})}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
