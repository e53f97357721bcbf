package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What comes from outside is text on the page, whatever it is: it does not run,
// does not become an element, and does not spoil the events around it.
func TestHostilePayloads(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.run(`void (window.hit = 0)`)
	p.connect()
	texts := []string{
		`<script>window.hit = 1</script>`,
		`<img src=x onerror="window.hit = 1">`,
		`<svg onload="window.hit = 1"><a xlink:href="javascript:window.hit=1">x</a></svg>`,
		`"><div class="data-item" data-id="9-9">forged</div><div x="`,
		`<div hx-get="/livez" hx-trigger="load" x-data x-init="window.hit = 1">htmx, Alpine</div>`,
		`{{.}} ${window.hit = 1} <!-- --> ]]> &lt;b&gt;`,
		"one\ndata: <b>two</b>\nevent: close\nid: 9-9\nretry: 1\n\nthree",
		"one\r\ndata: two\r\n\r\nevent: close\r\n\r\n",
		"one\rdata: two\r\revent: close\rdata: {}\r\r",
		"\uFEFFa byte order mark",
		"NUL \x00 and bell \x07 and \x1b[31mred\x1b[0m",
		"invalid \xff\xfe\xc3\x28 UTF-8",
		"line separators \u2028 and \u2029, right to left \u202e txt",
		strings.Repeat("long ", 200_000), // 1 MB in one line
	}
	for i, text := range texts {
		s.publishText("t", text)
		// A well-behaved neighbour behind each of them.
		s.publish("t", fmt.Sprintf(`{"seq":%d}`, i))
		p.latest(i)
	}
	p.total(2 * len(texts))
	contiguous(t, p.seqs(), 0, len(texts))
	p.state("connected")

	shown := eval[[]string](p, `[...document.querySelectorAll('#sse-feed > .data-item .item-text')].map((e) => e.textContent)`)
	if len(shown) != len(texts) {
		t.Fatalf("%d texts on the page for %d that were published", len(shown), len(texts))
	}
	for i, text := range texts[:6] { // these have nothing that cannot be shown
		if shown[i] != text {
			t.Errorf("%q is shown as %q", text, shown[i])
		}
	}
	for i := 6; i <= 8; i++ {
		if !strings.HasPrefix(shown[i], "one\ndata: ") || strings.Contains(shown[i], "\r") {
			t.Errorf("%q is shown as %q", texts[i], shown[i])
		}
	}
	if !strings.Contains(shown[10], "NUL ␀ and bell ␇ and red") {
		t.Errorf("control characters are shown as %q", shown[10])
	}
	if !strings.Contains(shown[11], "\uFFFD") {
		t.Errorf("invalid UTF-8 is shown as %q", shown[11])
	}
	if last := shown[len(shown)-1]; len(last) > 8192 || !strings.HasPrefix(last, "long long") {
		t.Errorf("a megabyte is shown as %d bytes", len(last))
	}
	checks := map[string]string{
		"a script ran":                 `window.hit !== 0`,
		"markup became elements":       `document.querySelector('#sse-feed script, #sse-feed img, #sse-feed svg, #sse-feed [hx-get], #sse-feed [x-init], #sse-feed b b')`,
		"an event was forged":          `document.querySelector('[data-id="9-9"]')`,
		"a close was forged":           `document.querySelector('#sse-feed [data-note]')`,
		"the page is wider than it is": `document.documentElement.scrollWidth > innerWidth`,
	}
	for what, condition := range checks {
		if eval[bool](p, `Boolean(%s)`, condition) {
			t.Error(what)
		}
	}
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want the one that stayed open", n)
	}
}

func TestHostileJSON(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.run(`void (window.hit = 0)`)
	p.connect()
	name := `"><img src=x onerror=window.hit=1>` // of a measure: it is in attributes and in the chart
	member, _ := json.Marshal(name)
	events := []string{
		fmt.Sprintf(`{%s:1}`, member),
		`{"__proto__":1,"constructor":2,"toString":3,"hasOwnProperty":4}`,
		`{"big":1e308,"small":-1e-308,"zero":-0,"int":123456789012345678901234567890}`,
		`{"note":"<script>window.hit=1</script>","n":1}`,
		`[1,[2,[3]]]`, `null`, `true`, `3.5`, `"<b>text</b>"`, `{}`, `{"a":{"b":[1,2]}}`,
	}
	for n := range 3 { // as many points as a chart needs
		s.publish("t", events...)
		p.total((n + 1) * len(events))
	}
	p.wait(`[...document.querySelectorAll('#charts [data-chart]')].length > 0`)
	if label := eval[string](p, `document.querySelector('#sse-feed [data-measure]').dataset.measure`); label != name {
		t.Errorf("the measure is called %q, want %q", label, name)
	}
	if eval[bool](p, `window.hit !== 0 || Boolean(document.querySelector('#charts img, #sse-feed img, #sse-feed script'))`) {
		t.Error("markup in JSON became elements of the page")
	}
	p.state("connected")
}

// A topic's name and a server's refusal are shown, too, and are no markup.
func TestHostileQuery(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url()+`/?topic=%22%3E%3Cscript%3Ewindow.hit%3D1%3C/script%3E`)
	// It is said that there is none, in words, and another one can be chosen.
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'unknown-topic' && document.getElementById('notice-message').textContent.includes('<script>')`)
	p.connect() // to a topic that exists
	if eval[bool](p, `window.hit === 1`) {
		t.Error("a script in the query ran")
	}
	s.publish("t", seq(0, 1)...)
	p.latest(0)
}
