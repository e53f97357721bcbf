package web_test

import (
	"strings"
	"testing"

	"weir/web"
)

// Which topics are made on demand is told to who has shown a right alone: the pattern
// may be the name of one. There is the field for a name, all the same.
func TestPageTellsNoPatternBeforeARightIsShown(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Access.Rights = mustRights(t, "publisher", "reader", "")
		o.Page.Demands = []string{"takeover"}
	})
	for token, told := range map[string]bool{"": false, "guess": false, "publisher": false, "reader": true} {
		page := s.do("GET", "/", "", "Authorization", "Bearer "+token).Body.String()
		if !strings.Contains(page, `id="topic-name"`) {
			t.Errorf("%q: there is no field for a name", token)
		}
		if got := strings.Contains(page, "takeover"); got != told {
			t.Errorf("%q: the pattern is told: %v", token, got)
		}
		if got := strings.Contains(page, "Opens any topic of takeover: it is made"); got != told || strings.Contains(page, "Opens any topic") != told {
			t.Errorf("%q: what the field opens is told: %v", token, got)
		}
	}
}
