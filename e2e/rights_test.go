package e2e_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// both has a request refused, and checks that the refusal is a problem detail
// for a program and a sentence for a person.
func both(t *testing.T, want int, says string, method, url, body string, header ...string) {
	t.Helper()
	accept := "application/json"
	if strings.Contains(url, "/sse-stream") && want != http.StatusNotAcceptable {
		accept += ", text/event-stream"
	}
	a := send(t, method, url, body, append([]string{"Accept", accept}, header...)...)
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Errorf("%s %s: %s, no problem detail: %q", method, url, a.Status, a.body)
		return
	}
	if a.StatusCode != want || p.Status != want || p.Title != http.StatusText(want) || p.Type == "" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: %s %s %+v, want status %d", method, url, a.Status, a.Header.Get("Content-Type"), p, want)
	}
	if !strings.Contains(p.Detail, says) {
		t.Errorf("%s %s: the detail %q does not say %q", method, url, p.Detail, says)
	}
	accept = "text/plain"
	if strings.Contains(url, "/sse-stream") && want != http.StatusNotAcceptable {
		accept += ", text/event-stream"
	}
	text := send(t, method, url, body, append([]string{"Accept", accept}, header...)...)
	if text.StatusCode != want || text.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(text.body, says) {
		t.Errorf("%s %s as text: %s %s %q, want status %d and %q", method, url, text.Status, text.Header.Get("Content-Type"), text.body, want, says)
	}
	for _, a := range []*answer{a, text} {
		if retry := a.Header.Get("Retry-After"); (want == 429 || want == 503) && !regexp.MustCompile(`^[1-9]\d*$`).MatchString(retry) {
			t.Errorf("%s %s: %s with Retry-After %q", method, url, a.Status, retry)
		}
		if want == 405 && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: %s without Allow", method, url, a.Status)
		}
		if want == 401 && a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: %s without WWW-Authenticate", method, url, a.Status)
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %s may be cached: %q", method, url, a.Status, a.Header.Get("Cache-Control"))
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "one=http", "-source", "two=stdin", "-publish-rate", "0")
	stdin, lines := pipe(t)
	s.stdin = stdin
	s.start()
	u := s.url()
	auth := []string{"Authorization", "Bearer " + token}
	with := func(header ...string) []string { return append(slices.Clone(auth), header...) }
	const asJSON, asNDJSON = "application/json", "application/x-ndjson"

	both(t, 400, `"xml"`, "GET", u+"/sse-stream?format=xml", "")
	both(t, 400, "?topic=", "POST", u+"/publish", `{}`, with("Content-Type", asJSON)...)
	both(t, 400, "malformed at byte", "POST", u+"/publish?topic=one", `{"a":}`, with("Content-Type", asJSON)...)
	both(t, 400, "line 3", "POST", u+"/publish?topic=one", "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":\n{\"seq\":4}\n", with("Content-Type", asNDJSON)...)
	both(t, 400, "empty", "POST", u+"/publish?topic=one", "", with("Content-Type", asJSON)...)
	both(t, 400, "no event", "POST", u+"/publish?topic=one", "\n\n", with("Content-Type", asNDJSON)...)
	both(t, 400, "UTF-8", "POST", u+"/publish?topic=one", "\"\xff\"", with("Content-Type", asJSON)...)
	both(t, 400, "", "POST", u+"/publish?topic=one", `{"specversion":"0.1"}`, with("Content-Type", "application/cloudevents+json")...)
	both(t, 401, "Authorization: Bearer", "POST", u+"/publish?topic=one", `{}`, "Content-Type", asJSON)
	both(t, 401, "not valid", "POST", u+"/publish?topic=one", `{}`, "Content-Type", asJSON, "Authorization", "Bearer wrong")
	both(t, 404, "one, two", "GET", u+"/sse-stream?topic=three", "")
	both(t, 404, "one, two", "POST", u+"/publish?topic=three", `{}`, with("Content-Type", asJSON)...)
	both(t, 404, "/sse-stream", "GET", u+"/nothing/here", "")
	both(t, 404, "", "GET", u+"/assets/nothing.js", "")
	both(t, 405, "GET", "POST", u+"/sse-stream", "")
	both(t, 405, "POST", "GET", u+"/publish?topic=one", "")
	both(t, 405, "GET", "DELETE", u+"/sse-health", "")
	both(t, 405, "GET", "POST", u+"/", "")
	both(t, 406, "text/event-stream", "GET", u+"/sse-stream", "")
	// Refused before it is sent: who does not ask first may only see a reset.
	both(t, 413, "larger than", "POST", u+"/publish?topic=one", strings.Repeat("x", 1<<20+1), with("Content-Type", "text/plain", "Expect", "100-continue")...)
	both(t, 415, "application/x-ndjson", "POST", u+"/publish?topic=one", `x`, with("Content-Type", "image/png")...)
	both(t, 415, "Content-Type", "POST", u+"/publish?topic=one", `{}`, with("Content-Type", ";;")...)
	both(t, 415, "UTF-8", "POST", u+"/publish?topic=one", `x`, with("Content-Type", "text/plain; charset=latin1")...)
	both(t, 415, "compressed", "POST", u+"/publish?topic=one", `x`, with("Content-Type", "text/plain", "Content-Encoding", "gzip")...)

	// Nothing of what was refused is in.
	var h struct {
		Topics map[string]struct{ Entries int }
	}
	s.getJSON("/sse-health", &h)
	if n := h.Topics["one"].Entries; n != 0 {
		t.Errorf("%d entries are in the log after refusals alone", n)
	}

	// A topic that has ended takes nothing more.
	_ = lines.Close()
	eventually(t, func() bool {
		return send(t, "POST", u+"/publish?topic=two", `{}`, with("Content-Type", asJSON)...).StatusCode == 410
	}, func() string { return "publishing to a topic that has ended is not refused by 410" })
	both(t, 410, "ended", "POST", u+"/publish?topic=two", `{}`, with("Content-Type", asJSON)...)
}

func TestPublishingIsOffWithoutAToken(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "t=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	both(t, 403, "-publish-token", "POST", s.url()+"/publish?topic=t", `{}`, "Content-Type", "application/json")
	both(t, 403, "-publish-token", "POST", s.url()+"/publish?topic=t", `{}`, "Content-Type", "application/json", "Authorization", "Bearer x")
}

func TestSubscribeToken(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-subscribe-token", "read-here")
	u := s.url()
	both(t, 401, "Authorization: Bearer", "GET", u+"/sse-stream", "")
	both(t, 403, "This token reads nothing.", "GET", u+"/sse-stream", "", "Authorization", "Bearer "+token) // it may publish
	both(t, 401, "ticket", "GET", u+"/sse-stream?ticket=forged", "")
	subscribe(t, u+"/sse-stream", nil, "Authorization", "Bearer read-here")
	a := send(t, "POST", u+"/ticket?topic=t", "", "Authorization", "Bearer read-here")
	var minted struct{ Ticket string }
	if err := json.Unmarshal([]byte(a.body), &minted); err != nil || minted.Ticket == "" {
		t.Fatalf("no ticket: %s %s", a.Status, a.body)
	}
	subscribe(t, u+"/sse-stream?topic=t&ticket="+minted.Ticket, nil)
	s.connections(2)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("in all", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-source", "t=http", "-max-conns", "2")
		first := subscribe(t, s.url()+"/sse-stream", nil)
		subscribe(t, s.url()+"/sse-stream", nil)
		both(t, 503, "as many streams", "GET", s.url()+"/sse-stream", "")
		// Nobody is evicted, and a place that is free is given.
		s.connections(2)
		first.stop()
		s.connections(1)
		subscribe(t, s.url()+"/sse-stream", nil)
	})
	t.Run("of one client", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-source", "t=http", "-max-conns-per-client", "2", "-trusted-proxy", "127.0.0.0/8")
		subscribe(t, s.url()+"/sse-stream", nil)
		subscribe(t, s.url()+"/sse-stream", nil)
		both(t, 429, "2 streams open", "GET", s.url()+"/sse-stream", "")
		// Another client, as a proxy that is trusted says, is not concerned.
		subscribe(t, s.url()+"/sse-stream", nil, "X-Forwarded-For", "192.0.2.1")
	})
	t.Run("of new ones", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-source", "t=http", "-connect-rate", "0.1")
		subscribe(t, s.url()+"/sse-stream", nil) // ten seconds' worth is one
		both(t, 429, "Too many streams", "GET", s.url()+"/sse-stream", "")
	})
	t.Run("of publishing", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, "-source", "t=http", "-publish-rate", "0.01")
		s.publish("t", `{}`)
		both(t, 429, "application/x-ndjson", "POST", s.url()+"/publish?topic=t", `{}`, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	})
}
