package stream_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/stream"
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
			aborted := func() (aborted bool) {
				defer func() { aborted = recover() == http.ErrAbortHandler }()
				h.ServeHTTP(w, r)
				return false
			}()
			drain := refusal.Reason == "drain"
			if want := tc.only && drain; aborted != want {
				t.Errorf("Accept %q, %d: the connection is closed without an answer: %v, want %v", tc.accept, refusal.Status, aborted, want)
			}
			if aborted {
				continue
			}
			want := refusal.Status
			if tc.only && want == http.StatusTooManyRequests {
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
