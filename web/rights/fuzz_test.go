package rights_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"weir/web/rights"
)

// A token file that is accepted makes no token of a piece of a line: whatever
// is cut off its end, no new token is valid.
func FuzzTokenFile(f *testing.F) {
	f.Add("publish abc one\nsubscribe def run.*,orders/eu.*\n", 10)
	f.Add("# comment\nsubscribe to#ken # why\n\n", 30)
	f.Add("subscribe a\rsubscribe b\x00 c\n", 3)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		if len(text) > 1000 {
			return
		}
		if _, err := rights.New(rights.Options{TokenFile: write(t, text)}); err != nil {
			return
		}
		if cut < 0 || cut > len(text) {
			return
		}
		whole := map[string]bool{}
		for _, word := range strings.Fields(text) {
			whole[word] = true
		}
		r, err := rights.New(rights.Options{TokenFile: write(t, text[:cut])})
		if err != nil {
			return
		}
		for _, line := range strings.Split(text[:cut], "\n") {
			for _, word := range strings.Fields(line) {
				for n := 1; n < len(word); n++ {
					if whole[word[:n]] {
						continue
					}
					req := httptest.NewRequest("GET", "/", nil)
					req.Header["Authorization"] = []string{"Bearer " + word[:n]}
					if _, denial := r.Holder(req, rights.Publish, ""); denial == nil {
						t.Fatalf("%q, cut at %d: %q is valid", text, cut, word[:n])
					}
				}
			}
		}
	})
}

// A grant that is accepted covers what it says, and its text says it again.
func FuzzGrant(f *testing.F) {
	for _, text := range []string{"*", "run.*", "orders/eu.*", "a/b", "*/*", ".*", "a.*.*", "a..*", "$x", "a/"} {
		f.Add(text, "run.1")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		g, err := rights.ParseGrant(text)
		if err != nil {
			return
		}
		if !g.Topic.Covers(g.Topic) || !rights.Any.Covers(g.Topic) {
			t.Errorf("%q does not cover itself", text)
		}
		p, n := string(g.Topic), rights.Pattern(name)
		if g.Topic.Covers(n) && p != name && p != "*" {
			if prefix := strings.TrimSuffix(p, "*"); prefix == p || !strings.HasPrefix(name, prefix) || name == "*" {
				t.Errorf("%q covers %q", p, name)
			}
		}
	})
}
