package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hide has the page believe that its tab is hidden, or in sight again.
const hide = `(() => { Object.defineProperty(document, 'hidden', { value: %v, configurable: true }); document.dispatchEvent(new Event('visibilitychange')) })()`

// What a reader has not seen yet outlives whatever happens to the page: that its tab
// is hidden, that it is loaded again. What the reader has cleared does not.
func TestHeldEventsAreKept(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 45)...)
	p.latest(44)
	// A frame is on its way when the tab goes out of sight.
	p.run(`document.getElementById('follow').click(); document.getElementById('follow').click(); %s`, fmt.Sprintf(hide, true))
	s.publish("t", seq(45, 47)...)
	p.latest(46)
	p.wait(`document.title === '(2) t · Weir'`)
	p.run(hide, false)
	p.wait(`document.title === 't · Weir'`)
	s.publish("t", seq(47, 48)...)
	p.latest(47)
	p.wait(`document.title === 't · Weir'`)

	hold := func(next int) {
		t.Helper()
		p.run(`document.getElementById('follow').click()`)
		p.visible("#jump")
		p.run(`document.getElementById('sse-feed').scrollTop = 0`) // no row above can make room
		p.wait(`new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(document.getElementById('follow').getAttribute('aria-pressed') === 'false'))))`)
		s.publish("t", seq(next, next+30)...)
		p.total(next + 30)
		p.wait(`document.getElementById('jump').textContent === 'Jump to latest (30 new)' && document.querySelectorAll('#sse-feed .data-item').length === 50`)
	}
	hold(48)
	p.reload()
	p.state("connected")
	p.latest(77)
	contiguous(t, p.seqs(), 28, 78)
	p.total(78)

	hold(78)
	p.run(`document.getElementById('clear').click()`)
	s.publish("t", seq(108, 109)...)
	p.latest(108)
	contiguous(t, p.seqs(), 108, 109)
}

// The keyboard's focus is never lost, one row is in the tab order, and what somebody
// types, or presses together with Ctrl, is no shortcut.
func TestFocusStaysWithTheReader(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "20s")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 5)...)
	p.latest(4)
	p.run(`document.getElementById('sse-feed').focus()`)
	p.do(chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.End))
	p.wait(`document.activeElement === document.querySelector('#sse-feed .data-item:last-child')`)
	p.wait(`document.querySelectorAll('#sse-feed .data-item[tabindex="0"]').length === 1`)
	p.wait(`document.getElementById('follow').getAttribute('aria-pressed') === 'false'`)
	p.run(`document.getElementById('follow').click()`)
	s.publish("t", seq(5, 65)...)
	p.latest(64)
	p.wait(`document.activeElement.id === 'sse-feed'`) // the row has gone

	// Who had paused before an event was opened has paused when it is closed.
	p.run(`document.activeElement.blur()`)
	p.do(chromedp.KeyEvent("p"))
	p.wait(`document.getElementById('follow').getAttribute('aria-pressed') === 'false'`)
	p.click(`#sse-feed .data-item:last-child`)
	p.says("#event-payload", "{\n  \"seq\": 64\n}")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.wait(`document.getElementById('event').hidden && document.getElementById('follow').getAttribute('aria-pressed') === 'false'`)

	for _, c := range []struct{ on, fields string }{
		{"#filter-text", `key: 'c'`}, {"#filter-text", `key: 'x'`}, {"#try-text", `key: 'x'`},
		{"body", `key: 'c', ctrlKey: true`}, {"body", `key: 'x', metaKey: true`}, {"body", `key: 'c', altKey: true`},
	} {
		if eval[bool](p, `!document.querySelector(%q).dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, cancelable: true, %s }))`, c.on, c.fields) {
			t.Errorf("{%s} on %s is taken for a shortcut", c.fields, c.on)
		}
	}
	// As any link, one to a view can be opened in a new tab.
	if eval[bool](p, `(() => { let prevented; addEventListener('click', (e) => { prevented = e.defaultPrevented; e.preventDefault() }, { once: true });
		document.querySelector('#views [data-view=traces]').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, ctrlKey: true })); return prevented })()`) {
		t.Error("a view that is pressed together with Ctrl is shown in this tab")
	}
	if got := eval[string](p, `[document.body.dataset.state, document.body.dataset.view, document.querySelectorAll('#sse-feed .data-item').length].join()`); got != "connected,feed,50" {
		t.Errorf("the page is %q", got)
	}

	// A notice goes, and the focus with it to the button of the connection.
	via.answer(streamAlone(s, told("gap", "stream-error", "close")))
	via.cut()
	p.retry()
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'closed' && document.getElementById('notice-banner').checkVisibility()`)
	p.run(`document.getElementById('notice-dismiss').focus()`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait(`document.activeElement.id === 'connect'`)
}

// told is a stream of control events that ends with the last of them.
func told(events ...string) string {
	data := map[string]string{"gap": `{"from":"1-0","to":"2-0","reason":"slow","missed":7}`, "stream-error": `{"message":"The source failed."}`, "close": `{"reason":"done"}`}
	var b strings.Builder
	b.WriteString("event: connected\ndata: {\"connection\":\"f-1\",\"time\":0}\n\n")
	for _, name := range events {
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data[name])
	}
	return b.String()
}

// streamAlone answers a request for a stream with a body, and has the server answer
// any other.
func streamAlone(s *server, body string) http.Handler {
	target, _ := url.Parse(s.url())
	rest := httputil.NewSingleHostReverseProxy(target)
	fake := &answers{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: body}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sse-stream" {
			fake.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// However many notes there are, the last few are shown, and one that says that the
// stream stays open goes when it does not.
func TestNotesAreFew(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "20s")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	many := strings.Split(strings.Repeat("gap ", 30)+"stream-error", " ")
	via.answer(streamAlone(s, told(many...)))
	p.click("#connect")
	p.state("error")
	p.wait(`document.querySelector('#sse-feed > .feed-note[data-note=stream-error]:last-child')`)
	p.wait(`document.querySelectorAll('#sse-feed > .feed-note').length === 10`)
	p.hidden("#notice-banner")
	p.says("#stream-gaps", "30")
	p.says("#stream-lost", "210 events")
}

// Nothing of one topic, event, connection or list is shown with another.
func TestNothingOfTheOtherIsShown(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-source", "u=http", "-retry", "50ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 3)...)
	s.publish("u", seq(0, 1)...)
	p.latest(2)
	p.visible("#stream-lag")

	// The journey of the first event comes when the second one was pressed.
	p.run(`void (window.asked = window.fetch, window.held = {}, window.fetch = async (url, options) => {
		const answer = await asked(url, options), which = holding?.(String(url));
		if (!which) return answer;
		const text = answer.text.bind(answer);
		answer.text = async () => { await new Promise((go) => { held[which] = go }); return text() };
		return answer;
	}, window.holding = (url) => { if (!url.startsWith('/traces/')) return; holding = null; return 'journey' })`)
	p.click(`#sse-feed .data-item:nth-child(1)`)
	p.click("#raw-frame")
	p.wait(`document.getElementById('raw-bytes')?.textContent.includes('"seq":0') && held.journey`)
	p.click(`#sse-feed .data-item:nth-child(2)`)
	p.wait(`document.getElementById('raw').hidden && document.getElementById('raw-frame').getAttribute('aria-expanded') === 'false'`)
	second := eval[string](p, `document.querySelector('#sse-feed .data-item:nth-child(2)').dataset.traceparent.slice(3, 35)`)
	p.wait(`document.querySelector('#journey .journey')?.dataset.traceId === %q`, second)
	p.run(`held.journey()`)
	p.stays(300*time.Millisecond, `document.querySelector('#journey .journey')?.dataset.traceId === %q`, second)

	via.cut()
	p.says("#stream-resumed", "once, nothing missed")
	p.choose("u")
	p.state("connected")
	p.wait(`document.getElementById('event').hidden && document.getElementById('event-id').textContent === '' && document.getElementById('journey').dataset.journey === 'empty'`)
	p.says("#stream-resumed", "not yet")
	p.visible("#stream-lag")
	p.click("#disconnect")
	p.state("disconnected")
	p.hidden("#stream-lag")

	// An older list of traces comes behind a newer one.
	p.run(`window.holding = (url) => { if (!url.startsWith('/traces?')) return; holding = null; return 'list' }`)
	p.click(`#views [data-view=traces]`)
	p.wait(`held.list`)
	p.run(`document.querySelector('#traces-form input[name=all]').click()`)
	p.wait(`document.querySelectorAll('.trace-line').length === 4 && !document.getElementById('traces').hasAttribute('aria-busy')`)
	p.run(`held.list()`)
	p.stays(300*time.Millisecond, `document.querySelectorAll('.trace-line').length === 4`)
	p.run(`document.querySelector('#traces-form input[name=all]').click()`)
	p.wait(`document.querySelectorAll('.trace-line').length === 1`)
	p.click(`#topics label:has(input[value=t])`)
	p.wait(`document.querySelectorAll('.trace-line').length === 3`)
}

// A chart has the colours, the time zone and the choice of its reader, and its line
// is broken where events are missing.
func TestChartsAreTheReaders(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "20s")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"})
		return err
	}), chromedp.Navigate(via.url()))
	p.wait(`document.getElementById('theme').title`)

	// stream is a topic of six events, as the server sends them, with a note after the third.
	stream := func(note string) {
		t.Helper()
		var b strings.Builder
		b.WriteString("event: connected\ndata: {\"connection\":\"f-1\",\"time\":0}\n\n")
		for n := range 6 {
			at := 1_800_000_000_000 + n*40_000
			fmt.Fprintf(&b, "id: %d-0\ndata: <div class=\"data-item\" data-id=\"%d-0\" data-time=\"%d\" data-content=\"json\" role=\"button\"><span class=\"measure\" data-measure=\"level\" data-value=\"%d\" data-label=\"level\" data-color=\"0\"><b>%d</b></span><span class=\"item-data\" hidden>{\"level\":%d,\"in\":{\"depth\":%d}}</span></div>\n\n", at, at, at, n%3, n%3, n%3, n)
			if n == 2 && note != "" {
				fmt.Fprintf(&b, "event: gap\nid: %d-1\ndata: {\"from\":\"%d-0\",\"to\":\"%d-1\",\"reason\":\"slow\"}\n\n", at, at, at)
			}
		}
		b.WriteString("event: close\ndata: {\"reason\":\"done\"}\n\n")
		via.answer(streamAlone(s, b.String()))
		p.run(`addEventListener('pagehide', () => sessionStorage.clear())`) // the page begins anew
		p.reload()
		p.wait(`document.getElementById('theme').title`)
		p.click("#connect")
		p.wait(`document.getElementById('notice-banner').dataset.notice === 'closed'`)
		p.wait(`document.querySelector('#charts [data-chart=level] canvas')`)
		p.wait(`document.querySelector('#charts [data-chart=level] .chart-plot').ariaLabel.includes('over the last 6 values')`)
	}
	picture := func() string {
		t.Helper()
		return eval[string](p, `(async () => { const frame = () => new Promise(requestAnimationFrame); for (let n = 0; n < 30; n++) await frame();
			return document.querySelector('#charts [data-chart=level] canvas').toDataURL() })()`)
	}
	stream("")
	whole := picture()
	stream("")
	if picture() != whole {
		t.Fatal("the same events make another picture")
	}
	// Inner numbers are there to be chosen, and not shown unasked.
	if n := eval[int](p, `document.querySelectorAll('#charts [data-chart]').length`); n != 1 {
		t.Errorf("%d charts, want that of the outer number", n)
	}
	changed := func(by string) {
		t.Helper()
		before := picture()
		p.run(`document.getElementById(%q).click()`, by)
		p.wait(`document.querySelector('#charts [data-chart=level] canvas').toDataURL() !== %q`, before)
	}
	changed("utc")
	p.run(`document.getElementById('utc').click()`)
	p.click("#theme") // light
	light := picture()
	changed("theme")
	p.click("#theme")
	p.click("#theme")
	p.wait(`document.querySelector('#charts [data-chart=level] canvas').toDataURL() === %q`, light)

	p.run(`document.querySelector('[data-measure-choice="in.depth"]').click()`)
	p.wait(`document.querySelector('#charts [data-chart="in.depth"] canvas')`)
	stream("")
	p.wait(`document.querySelectorAll('#charts [data-chart]').length === 2`) // as it was chosen
	if !eval[bool](p, `document.documentElement.dataset.theme === 'light'`) {
		t.Error("a light theme is not kept")
	}
	p.run(`document.querySelector('[data-measure-choice="in.depth"]').click()`)
	p.wait(`document.querySelectorAll('#charts [data-chart]').length === 1`)
	stream("gap")
	broken := picture()
	stream("")
	if picture() == broken {
		t.Error("a line runs on where events are missing")
	}
}
