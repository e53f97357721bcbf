package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What of an event could not be had while the server was away is asked for again when
// the stream is back.
func TestEventIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "300ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 2)...)
	s.publish("t", fmt.Sprintf(`{"seq":2,"text":%q}`, strings.Repeat("x", 100_000)))
	p.latest(2)
	via.down()
	p.state("error")
	p.visible("#error-banner") // which moves the rows
	p.stands(`#sse-feed .data-item:last-child`)
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`document.getElementById('journey').dataset.journey === 'failed'`)
	p.click("#raw-frame")
	p.wait(`!document.getElementById('event-payload').textContent.startsWith('Asking') && /reach|lost|network/i.test(document.getElementById('raw-bytes').textContent)`)
	via.up()
	p.state("connected")
	p.wait(`document.getElementById('journey').dataset.journey === 'loaded' && document.querySelector('#journey .waterfall')`)
	p.wait(`document.getElementById('event-payload').textContent.length > 100000`)
	p.wait(`/^id: \d+-\d+\n\n$/m.test(document.getElementById('raw-bytes').textContent)`)
	if shown, sent := eval[string](p, `document.getElementById('raw-bytes').textContent`), s.lastFrame("t"); shown != sent {
		t.Errorf("the raw frame is shown as %.80q … %q, and sent as %.80q … %q", shown, shown[max(0, len(shown)-40):], sent, sent[max(0, len(sent)-40):])
	}
}

// lastFrame returns the bytes of the last event of a topic as a reader gets them.
func (s *server) lastFrame(topic string) string {
	s.t.Helper()
	resp, err := http.Get(s.url() + "/sse-stream?last=1&format=json&topic=" + topic)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for frame := ""; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		if frame += line; line != "\n" {
			continue
		}
		if !strings.Contains(frame, "event: connected\n") {
			return frame
		}
		frame = ""
	}
}

// The list of the traces follows what comes, as long as the reader does not hold it.
func TestTracesFollow(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.total(1)
	p.click(`#views [data-view=traces]`)
	lines := func(want int) {
		t.Helper()
		p.wait(`document.querySelectorAll('.trace-line').length === %d`, want)
	}
	lines(1)
	s.publish("t", seq(1, 2)...)
	lines(2)
	p.wait(`/^as of \d\d:\d\d:\d\d$/.test(document.getElementById('traces-asof').textContent)`)
	// Who is in the list is left alone, and told so.
	p.run(`document.querySelector('.trace-line').focus()`)
	s.publish("t", seq(2, 3)...)
	p.wait(`document.getElementById('traces-asof').textContent.endsWith('held while you are in the list')`)
	lines(2)
	p.run(`document.activeElement.blur()`)
	lines(3)
	p.click("#traces-follow")
	p.says("#traces-follow", "Paused")
	s.publish("t", seq(3, 4)...)
	p.stays(4*time.Second, `document.querySelectorAll('.trace-line').length === 3`)
	p.click("#traces-refresh")
	lines(4)
	p.click("#traces-follow")
	s.publish("t", seq(4, 5)...)
	lines(5)
	// A step has one colour in the legend, in the list and in the waterfall.
	p.click(`li:nth-child(1) .trace-line`)
	p.wait(`document.querySelectorAll('#trace .span-bar .fill').length > 2`)
	if differ := eval[string](p, `(() => { const colours = {};
		for (const bar of document.querySelectorAll('.trace-legend .fill, .trace-bar .fill, #trace .span-bar .fill')) (colours[bar.dataset.step] ??= new Set()).add(getComputedStyle(bar).fill);
		return Object.entries(colours).filter(([, all]) => all.size !== 1).map(([step, all]) => step + ': ' + [...all]).join('; ') })()`); differ != "" {
		t.Errorf("the colours of steps differ: %s", differ)
	}
}

// The list is the one that the address asks for, when the page is opened, and when the
// reader goes back to it and forward.
func TestTracesOfAnAddress(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-source", "u=http")
	p := openPage(t, s.url()+"/traces?topic=u&sort=slowest&min=50ms")
	is := func(topic, sort, min, words string) {
		t.Helper()
		p.wait(`document.body.dataset.view === 'traces' && (({ topic, sort }) => topic === %q && sort === %q)(document.querySelector('#traces-content')?.dataset ?? {})`, topic, sort)
		p.wait(`document.querySelector('#traces-form').elements.sort.value === %q && (({ value, selectedOptions: [chosen] }) => value === %q && chosen.textContent === %q)(document.getElementById('traces-min'))`, sort, min, words)
		p.wait(`performance.getEntriesByType('resource').filter(({ name }) => name.includes('/traces?')).at(-1).name.endsWith(%q)`, map[bool]string{true: "&min=" + min}[min != ""]+"&topic="+topic)
	}
	is("u", "slowest", "50ms", "over 50 ms")
	p.click(`#traces-form label:has(input[value=newest])`)
	is("u", "newest", "50ms", "over 50 ms")
	if got := eval[string](p, `location.pathname + location.search`); got != "/traces?topic=u&min=50ms" {
		t.Errorf("the address is %s", got)
	}
	p.run(`history.pushState(null, '', '/traces?topic=t&sort=slowest&min=1m1.5s'); history.pushState(null, '', '/?view=traces&topic=t&min=long')`)
	p.run(`void history.back()`)
	is("t", "slowest", "1m1.5s", "over 1 m 1.5 s")
	p.run(`void history.forward()`)
	is("t", "newest", "", "any duration")
	p.run(`void history.go(-2)`)
	is("u", "newest", "50ms", "over 50 ms")
}

// blockReports has the page's reports go nowhere, as an extension of the browser does.
func (p *page) blockReports() {
	p.t.Helper()
	p.run(`const ask = window.fetch; window.fetch = (address, init) => (String(address).includes('/telemetry/browser') ? Promise.reject(new TypeError('blocked')) : ask(address, init))`)
}

// A journey that no page has reported the end of is marked, and its time is not shown as
// the whole.
func TestJourneyThatIsNotReported(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.click(`#views [data-view=traces]`)
	p.wait(`document.querySelectorAll('.trace-line').length === 1 && !document.querySelector('.trace-part')`)
	p.blockReports()
	s.publish("t", seq(1, 2)...)
	p.wait(`document.querySelectorAll('.trace-line').length === 2 && document.querySelector('.trace-line .trace-part')?.textContent.startsWith('sent; not reported on screen')`)
	p.stays(4*time.Second, `document.querySelectorAll('.trace-part').length === 1`)
	p.wait(`(() => { const [late, whole] = document.querySelectorAll('.trace-line');
		return late.querySelector('.trace-part')?.textContent.startsWith('sent; not reported on screen') && late.querySelector('.trace-ms').textContent.includes('> ') && !whole.querySelector('.trace-part') })()`)
	p.click(`li:nth-child(1) .trace-line`)
	p.wait(`document.querySelector('#trace .span-awaited') && document.querySelector('#trace .journey-total').textContent.includes('sent; not reported on screen')`)
}

// What came while nobody saw the page, or another view of it was shown, came: nothing
// says that it was on screen, or that this is awaited.
func TestJourneyOfWhatNobodySaw(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.run(hide, true)
	s.publish("t", seq(1, 2)...)
	p.total(2)
	p.run(hide, false)
	p.click(`#views [data-view=traces]`)
	s.publish("t", seq(2, 3)...)
	const unseen = "in the page; it was not on screen when it came"
	p.wait(`(() => { const lines = [...document.querySelectorAll('.trace-line')].map((e) => e.querySelector('.trace-part')?.textContent ?? '');
		return lines.length === 3 && lines[0] === %q && lines[1] === %q && lines[2] === '' && !document.querySelector('.trace-ms[data-awaited]') })()`, unseen, unseen)
	p.click(`li:nth-child(1) .trace-line`)
	p.wait(`document.querySelector('#trace .journey-total')?.textContent.endsWith('from t to page · %s') && !document.querySelector('#trace .span-awaited')`, unseen)
	p.click(`#views [data-view=feed]`)
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`/To this page\s*came in [\d.]+ .?s; it was not on screen at once/.test(document.getElementById('event-facts').textContent) && !document.getElementById('event-facts').textContent.includes('To your screen')`)
	p.wait(`document.querySelector('#journey .journey-total')?.textContent.endsWith('from t to page · %s')`, unseen)
	p.click(`#sse-feed .data-item:first-child`)
	p.wait(`document.getElementById('event-facts').textContent.includes('To your screen')`)
	p.wait(`document.querySelector('#journey .journey-total')?.textContent.endsWith('from t to screen')`)
}

// An event has the time that its publisher says. How long it took counts from when the
// server took it, and the panel tells both.
func TestEventWithATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.click(`#sse-feed .data-item`)
	p.wait(`document.getElementById('event-facts').textContent.includes('To your screen') && !document.getElementById('event-facts').textContent.includes('Taken by the server')`)
	p.click("#journey-close")
	s.publishAs("t", "application/cloudevents+json", `{"specversion":"1.0","id":"a","source":"/x","type":"x","time":"2001-02-03T04:05:06Z","data":{"seq":1}}`)
	p.latest(1)
	row, panel, _ := p.journeyOf()
	if panel < row-10 || panel > row+10 || row > 600_000 {
		t.Errorf("the row says %v ms, the panel %v ms", row, panel)
	}
	p.wait(`/Time\s*2001-02-03.*Taken by the server\s*20[2-9]\d-.*To your screen/s.test(document.getElementById('event-facts').textContent)`)
}
