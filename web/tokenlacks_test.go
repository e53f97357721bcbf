package web_test

import (
	"strings"
	"testing"

	"weir/web"
)

// Who holds a token that has no right to this is told so: such a token is no wrong one. It
// is kept for what it does allow, and the page says what that is.
func TestTokenLacksTheRight(t *testing.T) {
	for _, tc := range []struct{ name, publish, subscribe, file, grant string }{
		{name: "flags", publish: "pub", subscribe: "sub", grant: "*"},
		{name: "file", file: "publish pub run.*\nsubscribe sub run.*", grant: "run.*"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := tc.file
			if path != "" {
				path = tokenFile(t, tc.file)
			}
			s := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, tc.publish, tc.subscribe, path) })
			for _, ask := range []struct {
				method, target, token string
				status                int
				says                  string
			}{
				{"HEAD", "/sse-stream", "pub", 403, ""},
				{"GET", "/sse-stream", "pub", 403, "This token reads nothing."},
				{"GET", "/sse-stream?topic=run.1", "pub", 403, "This token reads nothing."},
				{"GET", "/t/nowhere", "pub", 403, "This token reads nothing."},
				{"GET", "/sse-health", "pub", 403, "This token reads nothing."},
				{"GET", "/streams", "pub", 403, "This token reads nothing."},
				{"POST", "/ticket", "pub", 403, "This token reads nothing."},
				{"POST", "/t/run.1", "sub", 403, "This token publishes nothing."},
				{"POST", "/publish", "sub", 403, "This token publishes nothing."},
				{"POST", "/ticket", "nonsense", 401, "The token is not valid."},
				{"GET", "/sse-stream", "nonsense", 401, "The token is not valid."},
				{"POST", "/t/run.1", "nonsense", 401, "The token is not valid."},
			} {
				w := s.do(ask.method, ask.target, "", "Authorization", "Bearer "+ask.token)
				if w.Code != ask.status || !strings.Contains(w.Body.String(), ask.says) {
					t.Errorf("%s %s with %s: %d, want %d, %q: %s", ask.method, ask.target, ask.token, w.Code, ask.status, ask.says, w.Body)
				}
				if got := w.Header().Get("WWW-Authenticate") != ""; got != (ask.status == 401) {
					t.Errorf("%s %s with %s: credentials are asked for: %v", ask.method, ask.target, ask.token, got)
				}
			}

			own := []string{"Authorization", "Bearer pub", "Sec-Fetch-Site", "same-origin"}
			w := s.do("POST", "/ticket?keep=1&topic=run.1", "", own...)
			if w.Code != 200 || !strings.Contains(w.Header().Get("Set-Cookie"), "weir=pub;") || strings.Contains(w.Body.String(), `"ticket"`) ||
				!strings.Contains(w.Body.String(), `"publish":["`+tc.grant+`"]`) {
				t.Errorf("kept to publish: %d, cookie %q: %s", w.Code, w.Header().Get("Set-Cookie"), w.Body)
			}
			for _, target := range []string{"/", "/streams"} {
				w = s.do("GET", target, "", "Cookie", "weir=pub", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
				for _, part := range []string{`data-publishes="` + tc.grant + `"`, ", and reads nothing.", "Reading needs a token here."} {
					if w.Code != 200 || !strings.Contains(w.Body.String(), part) {
						t.Errorf("%s by the cookie: %d, without %q", target, w.Code, part)
					}
				}
			}
			if w = s.do("POST", "/t/nowhere", "1", "Cookie", "weir=nonsense", "Sec-Fetch-Site", "same-origin"); w.Code != 401 {
				t.Errorf("by a cookie of nobody: %d", w.Code)
			}
		})
	}
}
