package telemetry_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"weir/stream"
	"weir/telemetry"
	"weir/web/rights"
)

// The reports of pages, and the cookie of a publisher, are believed of the
// server's own pages alone. Both doors know an own page by the same rule.
func TestOwnPagesAreKnownAlike(t *testing.T) {
	rig := newRig(t, telemetry.Options{}, stream.HubOptions{})
	defer rig.close()
	access, err := rights.New(rights.Options{PublishToken: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, origin, site string
		own                bool
	}{
		{"nothing is said", "", "", false},
		{"its own origin", "http://weir.example", "", true},
		{"in capitals", "http://WEIR.example", "", true},
		{"another origin", "http://evil.example", "", false},
		{"another port", "http://weir.example:81", "", false},
		{"no origin", "null", "", false},
		{"the browser says so", "", "same-origin", true},
		{"the browser says so, behind a proxy that changes the host", "https://public.example", "same-origin", true},
		{"the browser says no", "http://weir.example", "cross-site", false},
		{"a page of the same site", "http://weir.example", "same-site", false},
		{"typed in", "", "none", false},
	} {
		r := httptest.NewRequest("POST", "http://weir.example/telemetry/browser", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", rights.Cookie+"=secret")
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		w := httptest.NewRecorder()
		rig.tel.BrowserHandler().ServeHTTP(w, r)
		_, denial := access.Holder(r, rights.Publish, "topic")
		if reports, cookie := w.Code != 403, denial == nil; reports != c.own || cookie != c.own {
			t.Errorf("%s: the report is believed: %v, the cookie: %v; want %v", c.name, reports, cookie, c.own)
		}
	}
}
