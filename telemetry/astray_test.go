package telemetry_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/telemetry"
)

// TestReportsOfAnotherNode: a proxy that does not send reports where they belong is
// told of, and its pages are told to stop.
func TestReportsOfAnotherNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		r := newRig(t, telemetry.Options{Node: "b", Logger: logger}, stream.HubOptions{})
		report := func(query string) int {
			req := httptest.NewRequest("POST", "http://weir.example/telemetry/browser"+query, strings.NewReader(`{"now":1,"connection":"1f","proof":"x","reports":[{},{}]}`))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Origin", "http://weir.example")
			w := httptest.NewRecorder()
			r.tel.BrowserHandler().ServeHTTP(w, req)
			return w.Code
		}
		for range 3 {
			if code := report("?node=a"); code != http.StatusConflict {
				t.Errorf("a report for another node gets %d, want %d", code, http.StatusConflict)
			}
		}
		r.expect("sse.client.reports.rejected", "sse.report.reason=node", 6)
		if n := strings.Count(log.String(), "stream_node=a"); n != 1 || !strings.Contains(log.String(), "?node=") {
			t.Errorf("it is told %d times in a minute, want once with what to do:\n%s", n, log.String())
		}
		time.Sleep(time.Minute)
		report("?node=a")
		if n := strings.Count(log.String(), "stream_node=a"); n != 2 || !strings.Contains(log.String(), "not_logged=2") {
			t.Errorf("after a minute it is told %d times, want twice:\n%s", n, log.String())
		}
		// A stream of this node that is over, and a page that names none.
		for _, query := range []string{"?node=b", ""} {
			if code := report(query); code != http.StatusNoContent {
				t.Errorf("a report with %q gets %d", query, code)
			}
		}
		r.expect("sse.client.reports.rejected", "sse.report.reason=connection", 4)
		r.close()
	})
}
