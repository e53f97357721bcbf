package e2e_test

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// A figure says of what it is: what came here is not what the topic held, a number of which
// nothing is known is none, and a filter says how many of the rows it shows.
func TestFiguresSayOfWhatTheyAre(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	p.wait(`document.getElementById('total-events').textContent === '0' && document.getElementById('events-per-minute').textContent === '–'`)
	p.click(`#views [data-view=streams]`)
	p.wait(`document.getElementById('bands').textContent.includes('1 stream') && !document.getElementById('bands').textContent.includes('in the last minute')`)
	s.publish("t", seq(0, 60)...)
	p.wait(`document.getElementById('bands').textContent.includes('60 or more in the last minute')`)
	p.visible("#bands-legend .legend-lines")
	p.do(chromedp.EmulateViewport(360, 800))
	p.hidden("#bands-legend .legend-lines") // the picture has no room to say how many a line counts
	p.click(`#views [data-view=feed]`)
	p.says("#feed-count", "newest 50 of 60 that came here")
	p.wait(`document.documentElement.scrollWidth <= innerWidth`)
	filter := func(text string) {
		p.run(`document.getElementById('filter-text').value = %q; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`, text)
	}
	filter(`"seq":5`)
	p.says("#feed-count", "10 of 50 rows match · newest 50 of 60 that came here") // 50 to 59
	s.publish("t", seq(60, 90)...)                                                // the rows that are hidden make room
	p.says("#feed-count", "10 of 50 rows match · newest 50 of 90 that came here")
	s.publish("t", seq(90, 110)...)
	p.says("#feed-count", "10 of 50 rows match · 50 of 110 that came here") // 60 to 69 are not among them
	filter("no such thing")
	p.says("#feed-count", "0 of 50 rows match · 50 of 110 that came here")
	filter("")
	p.says("#feed-count", "50 of 110 that came here")
	s.publish("t", seq(110, 160)...)
	p.says("#feed-count", "newest 50 of 160 that came here")
}
