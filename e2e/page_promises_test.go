package e2e_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// A topic that ended while this page did not read it may have had more: what the page has of
// it is the last that it knows of, until it has read to the end. How many events came in the
// last minute is of the topic, whatever was cleared.
func TestEndThatThisPageHasNotRead(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 2)...)
	p.total(2)
	p.click("#disconnect")
	s.publish("t&close=1", seq(2, 5)...)
	p.click(`#views [data-view=streams]`)
	p.wait(`document.querySelector('.band-facts')?.textContent.startsWith('has ended: closed')`)
	p.click(`#views [data-view=feed]`)
	p.wait(`document.querySelector('#topics [data-ended]') !== null`)
	p.wait(`document.getElementById('last-event-age').textContent.startsWith('last known: ')`)
	p.click("#connect")
	p.total(5)
	p.wait(`document.getElementById('notice-message').textContent.startsWith('The topic has ended: closed. Nothing more')`)
	p.wait(`!document.getElementById('last-event-age').textContent.startsWith('last known: ')`)
	p.click("#clear")
	p.says("#total-events", "–")
	p.says("#events-per-minute", "5+")
}

// The list of shortcuts is of what this page has, and so is its legend: on the admin address
// there is no feed, and beside one no view for operators. The traces there are of all topics,
// since none can be chosen.
func TestOperatorsArePromisedWhatTheyHave(t *testing.T) {
	t.Parallel()
	admin := freeAddr(t)
	s := startServer(t, "-source", "a=http", "-source", "b=http", "-admin-addr", admin)
	keys := func(p *page, want string) {
		t.Helper()
		p.do(chromedp.KeyEvent("?"))
		p.wait(`document.getElementById('keys').open && [...document.querySelectorAll('#keys-list dt')].map((e) => e.textContent).join(' ') === %q`, want)
	}
	s.publish("a", seq(0, 1)...)
	s.publish("b", seq(0, 1)...)
	operators := openPage(t, fmt.Sprintf("http://%s/", admin))
	operators.wait(`document.querySelectorAll('.band').length === 2 && document.querySelector('#bands-legend .key-reader') && !document.querySelector('#bands-legend .key-you')`)
	operators.click(`#views [data-view=traces]`)
	operators.wait(`[...document.querySelectorAll('.trace-topic')].map((e) => e.textContent).sort().join() === 'a,b'`)
	keys(operators, "? 2 3")
	operators.reload()
	operators.wait(`[...document.querySelectorAll('.trace-topic')].map((e) => e.textContent).sort().join() === 'a,b'`)
	of := openPage(t, fmt.Sprintf("http://%s/traces?topic=b", admin))
	of.wait(`document.querySelectorAll('.trace-line').length === 1 && !document.querySelector('#traces-form [name=all]').checked`)
	p := openPage(t, s.url())
	p.state("disconnected")
	keys(p, "? C P / X 1 T ↑↓ Enter Esc")
	p.wait(`!document.getElementById('keys-list').textContent.includes('journey')`)
	p.says("#journey .hint", "Press an event to see what it was.")
}

// A number that has no chart is to be chosen where the page says that none is.
func TestOneNumberThatIsNotShownCanBeChosen(t *testing.T) {
	t.Parallel()
	s, p := reading(t)
	for n := range 3 {
		s.publish("t", fmt.Sprintf(`{"load":{"cpu":%d}}`, n))
	}
	p.total(3)
	p.wait(`document.querySelector('.charts-hint').textContent === 'No chart is chosen.'`)
	p.visible("#charts-menu summary")
	p.click("#charts-menu summary")
	p.click(`[data-measure-choice="load.cpu"]`)
	p.wait(`document.querySelector('[data-chart="load.cpu"]') !== null`)
	p.hidden("#charts-menu summary")
}
