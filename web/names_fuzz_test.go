package web_test

import (
	"net/url"
	"strings"
	"testing"

	"weir/web"
)

// A host or an origin that is accepted is one, in the form in which a browser
// sends it, and is accepted again as the same.
func FuzzHostAndOrigin(f *testing.F) {
	for _, text := range []string{"weir.example.org", "Example.Org.", "[::1]", "::1", "https://example.org:443", "http://[::1]:80", "*", "null", "https://a/b", "https://*.x", "a:1", "https://u@h", "A://::", "a://x::"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if name, err := web.ParseHost(text); err == nil {
			if again, err := web.ParseHost(name); err != nil || again != name {
				t.Errorf("host %q is %q, and that %q, %v", text, name, again, err)
			}
			if name == "" || strings.ContainsAny(name, "/?#@ *") {
				t.Errorf("host %q is %q", text, name)
			}
		}
		origins, err := web.ParseOrigins(text)
		if err != nil {
			return
		}
		for _, origin := range origins {
			if origin == "*" {
				continue
			}
			u, err := url.Parse(origin)
			if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.EqualFold(origin, "null") {
				t.Errorf("origin %q is %q: %v, %v", text, origin, u, err)
			}
			if again, err := web.ParseOrigins(origin); err != nil || len(again) != 1 || again[0] != origin {
				t.Errorf("origin %q is %q, and that %q, %v", text, origin, again, err)
			}
		}
	})
}
