package e2e_test

import (
	"fmt"
	"testing"
)

// What is new is what came since the reader left the newest, is not in view, and is shown
// by the filter: rows that were there before are not, wherever they stand.
func TestWhatIsNew(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	half := func(from, to int) (events []string) {
		for i := from; i < to; i++ {
			events = append(events, fmt.Sprintf(`{"seq":%d,"half":%q}`, i, []string{"even", "odd"}[i%2]))
		}
		return events
	}
	filter := func(text string) {
		p.run(`document.getElementById('filter-text').value = %q; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`, text)
	}
	up := `document.getElementById('sse-feed').scrollTop = 0`
	p.run(`document.getElementById('sse-feed').style.maxHeight = '200px'`)
	s.publish("t", half(0, 30)...)
	p.latest(29)
	p.run(`document.getElementById('follow').click()`)
	p.run("%s", up)
	p.says("#jump", "Jump to latest")
	s.publish("t", half(30, 50)...)
	p.total(50)
	p.says("#jump", "Jump to latest (20 new)")
	filter("even")
	p.wait(`document.querySelectorAll('#sse-feed .data-item:not([hidden])').length === 25`)
	p.run("%s", up)
	p.says("#jump", "Jump to latest (10 new)")
	filter("")
	p.run("%s", up)
	p.says("#jump", "Jump to latest (20 new)")
	// Rows that are held come, too; and what has no row may match, or not.
	s.publish("t", half(50, 60)...)
	p.total(60)
	p.says("#jump", "Jump to latest (30 new)")
	filter("odd")
	p.says("#jump", "Jump to latest (15 new)")
	s.publish("t", half(60, 200)...)
	p.total(200)
	p.wait(`/^Jump to latest \(\d+\+ new\)$/.test(document.getElementById('jump').textContent)`)
	filter("")
	p.says("#jump", "Jump to latest (170 new)")
	p.click("#jump")
	p.latest(199)
	p.hidden("#jump")
}
