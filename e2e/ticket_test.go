package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// A ticket goes on to hold after the server was killed and started again, and on
// every other server that has the token: EventSource comes back by the same URL.
func TestTicketsOutliveTheServer(t *testing.T) {
	t.Parallel()
	args := []string{"-source", "t=http", "-subscribe-token", "reader"}
	s := startServer(t, args...)
	status := func(of *server, method, path string, header ...string) *answer {
		t.Helper()
		return send(t, method, of.url()+path, "", header...)
	}
	a := status(s, "POST", "/ticket?topic=t", "Authorization", "Bearer reader")
	var minted struct{ Ticket string }
	if err := json.Unmarshal([]byte(a.body), &minted); err != nil || minted.Ticket == "" {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	check := func(of *server, when string) {
		t.Helper()
		if got := status(of, "HEAD", "/sse-stream?topic=t&ticket="+minted.Ticket).StatusCode; got != http.StatusOK {
			t.Errorf("%s: %d", when, got)
		}
		if got := status(of, "HEAD", "/sse-stream?topic=t").StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s, without the ticket: %d", when, got)
		}
	}
	check(s, "at first")
	s.kill()
	s.start()
	check(s, "after a restart")
	check(startServer(t, args...), "on another server")
}
