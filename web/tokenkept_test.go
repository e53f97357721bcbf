package web_test

import (
	"strings"
	"testing"

	"weir/web"
)

// Where a right is needed to publish alone, the page has that token kept, and no ticket
// is made. The page that comes by the cookie says what the token allows, and no page of
// anybody else publishes by it.
func TestPublishersTokenIsKept(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "p", "", "") })
	for _, tc := range []struct {
		target, token, site, cookie string
		status                      int
	}{
		{"/ticket?keep=1", "Bearer p", "same-origin", "", 200},
		{"/ticket?keep=1", "Bearer p", "cross-site", "", 403},
		{"/ticket?keep=1", "Bearer guess", "same-origin", "", 401},
		{"/ticket?keep=1", "", "same-origin", "", 401},
		{"/ticket?keep=1", "", "same-origin", "weir=p", 401},
		{"/ticket", "Bearer p", "same-origin", "", 404},
	} {
		header := []string{"Sec-Fetch-Site", tc.site, "Cookie", tc.cookie}
		if tc.token != "" {
			header = append(header, "Authorization", tc.token)
		}
		w := s.do("POST", tc.target, "", header...)
		if w.Code != tc.status || (w.Header().Get("Set-Cookie") != "") != (tc.status == 200) {
			t.Errorf("%+v: %d, cookie %q: %s", tc, w.Code, w.Header().Get("Set-Cookie"), w.Body)
		}
	}
	for cookie, says := range map[string]bool{"weir=p": true, "weir=guess": false, "": false} {
		if page := s.do("GET", "/", "", "Cookie", cookie, "Accept", "text/html", "Sec-Fetch-Site", "none").Body.String(); strings.Contains(page, ` data-publishes="*"`) != says {
			t.Errorf("%q: the page says that the token publishes: %v", cookie, !says)
		}
	}
	for site, status := range map[string]int{"same-origin": 200, "cross-site": 403} {
		if w := s.do("POST", "/t/one", "1", "Cookie", "weir=p", "Sec-Fetch-Site", site); w.Code != status {
			t.Errorf("by the cookie, from %s: %d %s", site, w.Code, w.Body)
		}
	}
}

// The page has its token kept in a cookie, which no script and no other site can use.
func TestTokenIsKept(t *testing.T) {
	long := strings.Repeat("x", 4100)
	path := tokenFile(t, "subscribe reader one\nsubscribe semi;colon one\nsubscribe "+long+" one")
	s := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", "", path) })
	own := []string{"Sec-Fetch-Site", "same-origin"}
	for _, tc := range []struct {
		token  string
		header []string
		status int
	}{
		{"reader", own, 200},
		{"reader", []string{"Origin", "http://example.com"}, 200}, // a browser that says no more
		{"reader", nil, 403},
		{"reader", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"guess", own, 401},
		{"semi;colon", own, 400},
		{long, own, 400},
	} {
		w := s.do("POST", "/ticket?keep=1", "", append([]string{"Authorization", "Bearer " + tc.token}, tc.header...)...)
		cookie := w.Header().Get("Set-Cookie")
		if w.Code != tc.status || (cookie != "") != (tc.status == 200) {
			t.Errorf("%.20s, %v: %d, cookie %.60q: %s", tc.token, tc.header, w.Code, cookie, w.Body)
		}
		if tc.status == 200 && cookie != "weir=reader; Path=/; HttpOnly; SameSite=Strict" {
			t.Errorf("the cookie is %q", cookie)
		}
	}
	if w := s.do("POST", "/ticket?keep=1", "", "Authorization", "Bearer reader", "Sec-Fetch-Site", "same-origin", "X-Forwarded-Proto", "https"); !strings.Contains(w.Header().Get("Set-Cookie"), "; Secure") {
		t.Errorf("behind a proxy with TLS: %q", w.Header().Get("Set-Cookie"))
	}
	if w := s.do("POST", "/ticket", "", "Authorization", "Bearer reader", "Sec-Fetch-Site", "same-origin"); w.Code != 200 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("nobody asked for a cookie: %d %q", w.Code, w.Header().Get("Set-Cookie"))
	}
	for site, status := range map[string]int{"same-origin": 204, "cross-site": 403} {
		if w := s.do("DELETE", "/ticket", "", "Sec-Fetch-Site", site); w.Code != status || strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") != (status == 204) {
			t.Errorf("forgetting, from %s: %d %q", site, w.Code, w.Header().Get("Set-Cookie"))
		}
	}
}
