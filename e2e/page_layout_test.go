package e2e_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// A page that is higher than its content scrolls into emptiness.
func TestThePageIsAsHighAsItsContent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "sensor", "-source", "t=http")
	s.publish("t", seq(0, 60)...)
	p := openPage(t, s.url()+"/?topic=t")
	p.connect()
	p.total(50)
	p.run(`document.querySelector('.data-item').click()`) // its panel scrolls by itself, too
	p.visible("#event")
	for _, width := range []int64{1280, 360} {
		p.do(chromedp.EmulateViewport(width, 800))
		for _, view := range []string{"feed", "streams", "traces"} {
			p.click(fmt.Sprintf("#views [data-view=%s]", view))
			p.wait(`document.body.dataset.view === %q`, view)
			p.wait(`document.documentElement.scrollHeight <= Math.max(innerHeight, Math.ceil(document.querySelector('.foot').getBoundingClientRect().bottom + scrollY) + 1)`)
		}
	}
}

// What Try it says, and the news of an outage, move neither figures nor charts.
func TestNothingMovesWhenSomethingIsSaid(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play", "-source", "t=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url())
	p.expect(broken, refused)
	p.connect()
	const places = `JSON.stringify(['.stats', '#charts', '#feed-card'].map((name) => document.querySelector(name).getBoundingClientRect().top))`
	before := eval[string](p, places)
	p.click("#publish")
	p.wait(`document.getElementById('try-said').textContent === 'Published.'`)
	if after := eval[string](p, places); after != before {
		t.Errorf("after Publish stats, charts and feed are at %s, before at %s", after, before)
	}
	s.kill()
	p.visible("#error-banner")
	if after := eval[string](p, places); after != before {
		t.Errorf("in an outage stats, charts and feed are at %s, before at %s", after, before)
	}
}

// Back goes to the topic before, as it goes to the view before.
func TestBackGoesToTheTopicBefore(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "one=http", "-source", "two=http")
	p := openPage(t, s.url())
	p.connect()
	p.choose("two")
	p.run(`void history.back()`)
	p.wait(`document.querySelector('#topics input[value=one]').checked && document.getElementById('try-curl').textContent.endsWith('/t/one')`)
	p.run(`void history.forward()`)
	p.wait(`document.querySelector('#topics input[value=two]').checked && document.getElementById('try-curl').textContent.endsWith('/t/two')`)
	p.state("connected")
}
