package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/stream"
	"weir/web"
)

// What a topic keeps is the events, and not the requests that brought them.
func TestRequestsAreNotKept(t *testing.T) {
	s := newPublishSite(t, nil)
	padding := strings.Repeat(" ", 500_000)
	for _, one := range []struct{ body, contentType string }{
		{"1" + padding, "application/json"},
		{"1" + padding, ""},
		{"1\n" + padding, "application/x-ndjson"},
	} {
		if w := s.do("POST", "/publish?topic=one", one.body, withToken("Content-Type", one.contentType)...); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	reader, err := s.hub.Reader("one")
	if err != nil {
		t.Fatal(err)
	}
	for n, c := 0, reader.From(stream.ID{}); n < 3; {
		entries, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if n++; cap(e.Event.Data) > 10_000 {
				t.Errorf("event %d of %d bytes keeps %d", n, len(e.Event.Data), cap(e.Event.Data))
			}
		}
	}
}

// A right that ends while the body is on its way does not publish.
func TestRightEndsWhileTheBodyComes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("publish first-token\npublish second-token\n")
	r := mustRights(t, "", "", file)
	s := newSite(t, func(o *web.Options) { o.Access.Rights = r })
	body, send := io.Pipe()
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		req := httptest.NewRequest("POST", "/publish?topic=one", body)
		req.Header.Set("Authorization", "Bearer first-token")
		answer <- ask(s.public, req)
	}()
	if _, err := io.WriteString(send, "1"); err != nil { // it has begun to read
		t.Fatal(err)
	}
	write("publish second-token\n")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	_ = send.Close()
	if w := <-answer; w.Code != http.StatusUnauthorized || s.entries("one") != 0 {
		t.Errorf("%d, and %d events are in", w.Code, s.entries("one"))
	}
}

// A proxy that was told nothing adds no header, and asks by HTTP/1.0.
func TestPlayThroughABareProxy(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.Play = true })
	for minor, want := range map[int]int{1: http.StatusOK, 0: http.StatusForbidden} {
		r := httptest.NewRequest("POST", "/publish?topic=one", strings.NewReader("1"))
		r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:999"
		r.ProtoMinor = minor
		if w := ask(s.public, r); w.Code != want {
			t.Errorf("HTTP/1.%d: %d %s", minor, w.Code, w.Body)
		}
	}
}

// Another site's page makes no profiles, and what a query says twice is refused.
func TestForeignPagesMakeNoProfiles(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Admin, o.Access.Rights = true, mustRights(t, secret, "", "") })
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "none": http.StatusOK} {
		r := adminRequest("GET", "/debug/pprof/heap?debug=1")
		r.Header.Set("Sec-Fetch-Site", site)
		if w := ask(s.server.AdminHandler(), r); w.Code != want {
			t.Errorf("%s: %d", site, w.Code)
		}
	}
	for _, twice := range []string{"close=0&close=1", "topic=two", "subject=a&subject=b", "name=a&name=b"} {
		if w := s.do("POST", "/publish?topic=one&"+twice, "1", withToken()...); w.Code != http.StatusBadRequest || s.entries("one") != 0 {
			t.Errorf("%s: %d", twice, w.Code)
		}
	}
}
