package web_test

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/web"
)

// What a page is told of a topic that its address asks for: nothing to who has shown no
// right, and to who may not read it no more than that.
func TestPageJudgesATopicForWhoMayKnow(t *testing.T) {
	path := tokenFile(t, "subscribe second two,run.*")
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Access.Rights = mustRights(t, "", "reader", path)
		o.Page.Demands = []string{"run.*"}
	})
	if err := s.hub.EndTopic("one", "done"); err != nil {
		t.Fatal(err)
	}
	body := regexp.MustCompile(`(?s)<body .*?>`)
	listed := regexp.MustCompile(`<label class="topic" title="[^>]*>`)
	for _, c := range []struct {
		token, target       string
		unknown, notAllowed bool
		lists               []string
	}{
		{"", "/", false, false, nil},
		{"", "/?topic=one", false, false, []string{"one"}},
		{"", "/?topic=nothing", false, false, []string{"nothing"}},
		{"", "/?topic=nothing&view=traces", false, false, []string{"nothing"}},
		{"", "/t/one", false, false, []string{"one"}},
		{"", "/t/nothing", false, false, []string{"nothing"}},
		{"", "/?topic=a+name+that+no+topic+can+have", true, false, nil},
		{"guess", "/?topic=nothing", false, false, []string{"nothing"}},
		{"second", "/?topic=two", false, false, []string{"two"}},
		{"second", "/?topic=one", false, true, []string{"two"}},
		{"second", "/?topic=nothing", false, true, []string{"two"}},
		{"second", "/?topic=run.1", false, false, []string{"two", "run.1"}},
		{"reader", "/?topic=one", false, false, []string{"one", "two"}},
		{"reader", "/?topic=nothing", true, false, []string{"one", "two"}},
	} {
		header := []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate"}
		if c.token != "" {
			header = append(header, "Authorization", "Bearer "+c.token)
		}
		page := s.do("GET", c.target, "", header...).Body.String()
		tag := body.FindString(page)
		if unknown, notAllowed := strings.Contains(tag, " data-unknown"), strings.Contains(tag, " data-not-allowed"); unknown != c.unknown || notAllowed != c.notAllowed {
			t.Errorf("%q, %s: unknown %v, not allowed %v; want %v, %v", c.token, c.target, unknown, notAllowed, c.unknown, c.notAllowed)
		}
		var lists []string
		for _, label := range listed.FindAllString(page, -1) {
			_, after, _ := strings.Cut(label, `title="`)
			name, _, _ := strings.Cut(after, `"`)
			lists = append(lists, name)
			if told := strings.Contains(label, "data-ended"); told != (name == "one" && c.token == "reader") {
				t.Errorf("%q, %s: that %s has ended is told: %v", c.token, c.target, name, told)
			}
		}
		if !slices.Equal(lists, c.lists) {
			t.Errorf("%q, %s: lists %q, want %q", c.token, c.target, lists, c.lists)
		}
	}
}

// Each figure on top says what it counts, and since when.
func TestEachFigureSaysWhatItCounts(t *testing.T) {
	page := newSite(t, full).do("GET", "/", "", "Accept", "text/html").Body.String()
	figures := regexp.MustCompile(`<div class="stat"><h2( title="[^"]+")?>([^<]*)`).FindAllStringSubmatch(page, -1)
	if len(figures) != 4 {
		t.Errorf("the page has %d figures", len(figures))
	}
	for _, figure := range figures {
		if figure[1] == "" {
			t.Errorf("%q says nothing", figure[2])
		}
	}
}

// Without JavaScript the address of the stream is one that works, as a link and as text.
func TestPageWithoutJavaScriptNamesTheStream(t *testing.T) {
	without := regexp.MustCompile(`<noscript>.*?<a href="([^"]*)">([^<]*)</a>.*</noscript>`)
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Page.Demands = []string{"*"}
	})
	for _, topic := range []string{"one", "a&b", "c'd", "a+b", "a;b"} {
		page := s.do("GET", "/t/"+url.PathEscape(topic), "", "Accept", "text/html").Body.String()
		found := without.FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("%s: no address", topic)
		}
		for _, address := range found[1:] {
			u, err := url.Parse(html.UnescapeString(address))
			if err != nil || u.Path != "/sse-stream" || u.Query().Get("topic") != topic || u.Query().Get("format") != "json" || len(u.Query()) != 2 {
				t.Errorf("%s: the address is %s", topic, html.UnescapeString(address))
			}
		}
	}
}
