package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// filter looks for a text among the rows.
func (p *page) filter(text string) {
	p.t.Helper()
	p.run(`document.getElementById('filter-text').value = %q; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`, text)
}

// The filter says where it does not look: in what a row lacks of a large payload.
func TestFilterSaysWhereItDoesNotLook(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publishText("t", strings.Repeat("p", 4000)+" tneedle4000.")
	s.publishText("t", strings.Repeat("p", 6000)+" tneedle6000.")
	s.publishAs("t", "application/json", fmt.Sprintf(`{"n":6,"pad":%q,"o":{"deep":{"n":"jneedle6000."}}}`, strings.Repeat("q", 6000)))
	s.publishText("t", "small")
	p.total(4)
	p.filter("tneedle4000.")
	p.says("#feed-count", "1 of 4 rows match, 2 searched in part")
	p.filter("tneedle6000.")
	p.says("#feed-count", "0 of 4 rows match, 2 searched in part")
	p.visible("#feed-none")
	p.visible(".charts-hint")
	p.hidden(".charts-scope") // there is no chart of which it could be said: on a phone one stood over the other
	p.wait(`document.getElementById('feed-none').innerText.includes('Of payloads over 4,096 bytes only the part that the row has is searched.')`)
	p.wait(`/over 4,096 bytes/.test(document.getElementById('filter-text').title) && /over 4,096 bytes/.test(document.getElementById('keys-list').textContent)`)
	p.filter("pppp")
	p.says("#feed-count", "2 of 4 rows match, 1 searched in part")
	p.run(`document.getElementById('clear').click()`)
	s.publishText("t", "small")
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length === 1`)
	p.says("#feed-count", "0 of 1 row matches")
	p.wait(`!document.getElementById('feed-none').innerText.includes('4,096')`)
}

// A string of JSON is shown in its row as what it says, and everywhere else as it came.
func TestStringOfJSON(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.run(`navigator.clipboard.writeText = async (text) => { window.copied = text }`)
	p.connect()
	for _, c := range []struct{ payload, row, by string }{
		{`"str"`, "str", "5 B"}, {`"a\nb"`, "a\nb", "6 B"}, {`42`, "42", "2 B"}, {`true`, "true", "4 B"}, {`null`, "null", "4 B"},
	} {
		s.publishAs("t", "application/json", c.payload)
		p.wait(`[...document.querySelectorAll('#sse-feed .item-text')].at(-1)?.textContent === %q`, c.row)
		p.run(`[...document.querySelectorAll('#sse-feed .data-item')].at(-1).click()`)
		p.wait(`document.getElementById('event-payload').textContent === %q && document.getElementById('event-facts').textContent.includes('Payload%s')`, c.payload, c.by)
		p.click("#copy-payload")
		p.wait(`window.copied === %q`, c.payload)
		for _, text := range []string{c.payload, c.row} {
			if strings.Contains(text, "\n") {
				continue // a field has one line
			}
			p.filter(text)
			p.wait(`![...document.querySelectorAll('#sse-feed .data-item')].at(-1).hidden && / of /.test(document.getElementById('feed-count').textContent)`)
		}
		p.filter("")
	}
	// A large one is fetched, as it came.
	large := fmt.Sprintf("%q", strings.Repeat(`s"`, 3000))
	s.publishAs("t", "application/json", large)
	p.total(6)
	p.run(`[...document.querySelectorAll('#sse-feed .data-item')].at(-1).click()`)
	p.wait(`document.getElementById('event-payload').textContent === %q`, large)
}

// What a button says of one event is not said of the next.
func TestCopiedIsSaidOfItsEvent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.run(`navigator.clipboard.writeText = async () => { await window.slow }`)
	p.connect()
	s.publish("t", seq(0, 3)...)
	p.latest(2)
	press := `document.querySelectorAll('#sse-feed .data-item')[%d].click()`
	said := `[document.getElementById('copy-payload').textContent, document.getElementById('copy-link').textContent].join()`
	p.run(press, 0)
	p.run(`document.getElementById('copy-payload').click(); document.getElementById('copy-link').click()`)
	// In one go, or the words could be back by themselves.
	after := eval[[]string](p, `(async () => {
		const said = () => %[1]s;
		await new Promise((done) => setTimeout(done));
		document.getElementById('copy-payload').click(); document.getElementById('copy-link').click();
		await new Promise((done) => setTimeout(done));
		const first = said();
		%[2]s;
		const second = said();
		// It was under way when another event was opened.
		let answer;
		window.slow = new Promise((done) => { answer = done; });
		document.getElementById('copy-payload').click(); document.getElementById('copy-link').click();
		%[3]s;
		answer();
		await new Promise((done) => setTimeout(done));
		return [first, second, said()];
	})()`, said, fmt.Sprintf(press, 1), fmt.Sprintf(press, 2))
	if want := []string{"Copied,Copied", "Copy,Copy link", "Copy,Copy link"}; fmt.Sprint(after) != fmt.Sprint(want) {
		t.Errorf("the buttons said %q, want %q", after, want)
	}
}
