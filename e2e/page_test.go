package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// pipe is a standard input that the test writes.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	return r, w
}

func TestStreamErrorIsShownAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	recovered := filepath.Join(dir, "recovered")
	// A program that fails until somebody mends it.
	script := fmt.Sprintf(`test -e %s || { echo broken >&2; exit 3; }; echo '{"seq":1}'; exec cat`, recovered)
	s := startServer(t, "-source", "t=exec:"+script)
	p := openPage(t, s.url())
	p.connect()
	p.wait(`document.querySelector('#sse-feed > .feed-note[data-note=stream-error]')`)
	p.wait(`document.getElementById('notice-banner').checkVisibility() && document.getElementById('notice-banner').dataset.notice === 'stream-error'`)
	if text := p.text("#notice-message"); !strings.Contains(text, "failed") || strings.Contains(text, "broken") {
		t.Errorf("the page says %q: want that the source failed, and no internals", text)
	}
	p.state("connected")
	p.click("#notice-dismiss")
	p.hidden("#notice-banner")
	p.state("connected")
	if err := os.WriteFile(recovered, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.latest(1)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want the one that stayed open", n)
	}
}

// atNewest says whether the feed is at its end.
const atNewest = `(() => { const f = document.getElementById('sse-feed'); return f.scrollHeight - f.clientHeight - f.scrollTop <= 1 })()`

// top is where a row of the feed stands in the window.
const topOf = `document.querySelector('#sse-feed [data-id="%s"]').getBoundingClientRect().top`

func TestScrolledUpViewDoesNotMove(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 50)...)
	p.latest(49)
	p.wait(`%s`, atNewest)

	// The wheel, as a reader turns it.
	box := eval[map[string]float64](p, `document.getElementById('sse-feed').getBoundingClientRect().toJSON()`)
	p.do(chromedp.MouseEvent(chromedp.MouseWheel, box["x"]+box["width"]/2, box["y"]+box["height"]/2, wheel(-600)))
	p.wait(`document.getElementById('follow').getAttribute('aria-pressed') === 'false'`)
	p.visible("#jump")
	// Two frames without movement: the wheel has come to rest.
	p.wait(`(async () => { const f = document.getElementById('sse-feed'); const frame = () => new Promise(requestAnimationFrame);
		const at = f.scrollTop; await frame(); await frame(); await frame(); return f.scrollTop === at && at > 0 })()`)
	id := eval[string](p, `(() => { const f = document.getElementById('sse-feed').getBoundingClientRect();
		return [...document.querySelectorAll('#sse-feed .data-item')].find((e) => e.getBoundingClientRect().top >= f.top).dataset.id })()`)
	before := eval[float64](p, topOf, id)

	// Events come one at a time, then in a burst, and old rows go.
	next := 50
	for _, n := range []int{1, 1, 1, 5, 8, 30, 1, 200, 1} {
		s.publish("t", seq(next, next+n)...)
		next += n
		p.total(next)
		p.wait(`new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
		if !eval[bool](p, `Boolean(document.querySelector('#sse-feed [data-id="%s"]'))`, id) {
			t.Fatalf("the row that the reader looks at was taken away after %d events", next)
		}
		if now := eval[float64](p, topOf, id); now-before > 1 || before-now > 1 {
			t.Fatalf("the row that the reader looks at moved from %v to %v after %d events", before, now, next)
		}
		if n := len(p.seqs()); n > 50 {
			t.Fatalf("the feed holds %d events", n)
		}
	}
	p.wait(`document.getElementById('jump').textContent === 'Jump to latest (%d new)'`, next-50)

	p.click("#jump")
	p.latest(next - 1)
	contiguous(t, p.seqs(), next-50, next)
	p.wait(`%s`, atNewest)
	p.hidden("#jump")
	s.publish("t", seq(next, next+3)...)
	p.latest(next + 2)
	p.wait(`%s`, atNewest)

	// Who scrolls down to the end by hand follows again, too.
	p.do(chromedp.MouseEvent(chromedp.MouseWheel, box["x"]+box["width"]/2, box["y"]+box["height"]/2, wheel(-300)))
	p.visible("#jump")
	p.do(chromedp.MouseEvent(chromedp.MouseWheel, box["x"]+box["width"]/2, box["y"]+box["height"]/2, wheel(3000)))
	p.hidden("#jump")

	// And the switch does what its name says.
	p.click("#follow")
	p.visible("#jump")
	p.click("#follow")
	p.hidden("#jump")
}

func TestClear(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	if !eval[bool](p, `document.getElementById('clear').disabled`) {
		t.Error("there is something to clear on a new page")
	}
	p.connect()
	for n := 0; n < 70; n += 10 { // by and by: a batch is one point of a chart
		s.publish("t", seq(n, n+10)...)
		p.total(n + 10)
	}
	p.wait(`document.querySelector('#charts [data-chart=seq] canvas')`)
	p.click("#clear")
	p.wait(`document.querySelectorAll('#sse-feed > *, #charts [data-chart]').length === 0 && document.getElementById('total-events').textContent === '0'`)
	p.visible("#feed-empty")
	p.state("connected")
	s.publish("t", seq(70, 73)...)
	p.total(3)
	contiguous(t, p.seqs(), 70, 73)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want the one that stayed open", n)
	}
}

func TestDismiss(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "5s")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)

	// While a retry is planned, to dismiss the error is to let it be.
	via.down()
	p.state("error")
	p.wait(`document.getElementById('retry-countdown').textContent.startsWith('Next try in')`)
	via.up()
	n := p.streamRequests()
	p.click("#dismiss")
	p.state("disconnected")
	p.hidden("#error-banner")
	p.stays(6*time.Second, `document.body.dataset.state === 'disconnected'`)
	if now := p.streamRequests(); now != n {
		t.Errorf("%d more requests after the error was dismissed", now-n)
	}

	// While the retry is under way, the banner goes and the stream comes.
	p.connect()
	via.holdNew()
	via.cut()
	p.state("error")
	p.retry()
	p.state("connecting")
	p.visible("#error-banner")
	p.click("#dismiss")
	p.hidden("#error-banner")
	via.release()
	p.state("connected")
	s.publish("t", seq(1, 2)...)
	p.latest(1)
	p.stays(500*time.Millisecond, `document.body.dataset.state === 'connected'`)
}

func TestStatistics(t *testing.T) {
	s := startServer(t, "-source", "t=http", "-publish-rate", "0")
	p := openPage(t, s.url())
	p.connect()
	pub := startPublisher(s, 50*time.Millisecond)
	p.wait(`Number(document.getElementById('total-events').textContent) > 60`)
	// What entered since the server was started: no share of a minute is taken for the
	// whole, nor for all that may have been.
	figures := eval[[]float64](p, `['events-per-minute', 'total-events', 'connection-time'].map((id) => Number(document.getElementById(id).textContent.replaceAll(/[,+]|^00:/g, '')))`)
	n := pub.finish(t)
	if minute, total, seconds := figures[0], figures[1], figures[2]; seconds < 50 && minute != total {
		t.Errorf("the page shows %.0f events a minute, of %.0f that came within %.0f s", minute, total, seconds)
	}
	p.total(n)
	// The clock of the browser is this machine's.
	p.wait(`document.getElementById('last-event-time').textContent === new Date(parseInt([...document.querySelectorAll('.data-item')].at(-1).dataset.id)).toTimeString().slice(0, 8)`)
	p.wait(`/^[\d.]+ m?s$/.test(document.getElementById('latency-p50').textContent)`)
	p.wait(`/^p95 [\d.]+ m?s · worst [\d.]+ m?s of \d+$/.test(document.getElementById('latency-more').textContent)`)
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item')].every((e) => Number(e.dataset.latency) >= 0 && e.querySelector('.item-latency').textContent.endsWith('s'))`)
	p.wait(`/^(now|\d+ s ago)$/.test(document.getElementById('last-event-age').textContent)`)
	p.total(n)
}

func TestTheme(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.wait(`document.getElementById('theme').title.includes('system')`)
	colour := func() string { return eval[string](p, `getComputedStyle(document.documentElement).backgroundColor`) }
	theme := func() string { return eval[string](p, `document.documentElement.dataset.theme`) }
	p.click("#theme")
	p.wait(`document.documentElement.dataset.theme === 'light'`)
	light := colour()
	p.click("#theme")
	p.wait(`document.documentElement.dataset.theme === 'dark'`)
	p.wait(`getComputedStyle(document.documentElement).backgroundColor !== %q`, light)
	dark := colour()
	// It is kept, and there from the first paint on.
	p.reload()
	p.wait(`document.getElementById('theme').title.includes('dark')`)
	if theme() != "dark" || colour() != dark {
		t.Errorf("after a reload the theme is %s with %s, want dark with %s", theme(), colour(), dark)
	}
	p.click("#theme")
	p.wait(`document.documentElement.dataset.theme === 'auto'`)
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-source", "u=http")
	p := openPage(t, s.url())
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	tabTo := func(selector string) {
		t.Helper()
		for range 30 {
			if eval[bool](p, `Boolean(document.activeElement.closest(%q))`, selector) {
				return
			}
			p.do(chromedp.KeyEvent(kb.Tab))
		}
		t.Fatalf("Tab does not come to %s", selector)
	}
	tabTo("#connect")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.state("connected")
	// The focus is not lost with the button that was pressed.
	p.wait(`document.activeElement.id === 'disconnect'`)
	s.publish("t", seq(0, 5)...)
	p.latest(4)

	tabTo("#sse-feed")
	if !eval[bool](p, `document.activeElement.matches(':focus-visible')`) {
		t.Error("the focus on the feed cannot be seen")
	}
	p.do(chromedp.KeyEvent(kb.ArrowUp))
	p.wait(`document.activeElement.querySelector('[data-measure=seq]')?.dataset.value === '4'`)
	p.do(chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.ArrowUp))
	p.wait(`document.activeElement.querySelector('[data-measure=seq]')?.dataset.value === '2'`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait(`document.activeElement.getAttribute('aria-pressed') === 'true'`)
	p.wait(`document.getElementById('journey').dataset.journey !== 'empty'`)
	// Escape in a field is the field's.
	p.run(`window.row = document.activeElement; document.getElementById('try-text').focus()`)
	p.do(chromedp.KeyEvent(kb.Escape))
	p.wait(`document.getElementById('journey').dataset.journey !== 'empty'`)
	p.run(`window.row.focus()`)
	p.do(chromedp.KeyEvent(kb.Escape))
	p.wait(`document.getElementById('journey').dataset.journey === 'empty' && document.activeElement.getAttribute('aria-pressed') === 'false'`)

	// A topic by the arrow keys, as radio buttons have it.
	p.run(`document.querySelector('#topics input:checked').focus()`)
	p.do(chromedp.KeyEvent(kb.ArrowRight))
	p.wait(`document.querySelector('#topics input[value=u]').checked`)
	p.state("connected")
	p.run(`document.getElementById('disconnect').focus()`)
	p.do(chromedp.KeyEvent(" "))
	p.state("disconnected")
	p.wait(`document.activeElement.id === 'connect'`)
}

// Keys of one letter can be turned off, for good: WCAG 2.1.4.
func TestKeysCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.wait(`document.getElementById('theme').title`)
	p.do(chromedp.KeyEvent("2"))
	p.wait(`document.body.dataset.view === 'streams'`)
	p.do(chromedp.KeyEvent("?"))
	p.wait(`document.getElementById('keys').open`)
	p.click("#keys-on")
	p.do(chromedp.KeyEvent(kb.Escape))
	for range 2 {
		p.wait(`!document.getElementById('keys').open && document.getElementById('theme').title`)
		for _, key := range []string{"1", "c", "?"} {
			p.do(chromedp.KeyEvent(key))
		}
		p.stays(300*time.Millisecond, `document.body.dataset.view === 'streams' && document.body.dataset.state === 'disconnected' && !document.getElementById('keys').open`)
		p.reload()
	}
	// The list is still there, and with it the switch.
	p.click("#foot-keys")
	p.wait(`document.getElementById('keys').open && !document.getElementById('keys-on').checked`)
	p.click("#keys-on")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.do(chromedp.KeyEvent("1"))
	p.wait(`document.body.dataset.view === 'feed'`)
}

// A screen reader hears that the stream opened and closed, and is not read
// every event.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "1s")
	p := openPage(t, s.url())
	p.expect(broken)
	p.run(`void (window.heard = [], new MutationObserver(() => heard.push(document.getElementById('announcer').textContent))
		.observe(document.getElementById('announcer'), { childList: true, characterData: true, subtree: true }))`)
	p.connect()
	s.publish("t", seq(0, 20)...)
	p.total(20)
	s.kill()
	p.state("error")
	p.wait(`heard.some((text) => text.startsWith('Error.'))`)
	p.click("#dismiss")
	p.state("disconnected")
	p.wait(`heard.at(-1) === 'Disconnected'`)
	if n := eval[int](p, `heard.length`); n > 8 {
		t.Errorf("%d announcements: %v", n, eval[[]string](p, `heard`))
	}
	type live struct{ Announcer, Feed string }
	if l := eval[live](p, `({ announcer: document.getElementById('announcer').ariaLive, feed: document.getElementById('sse-feed').ariaLive })`); l != (live{"polite", "off"}) {
		t.Errorf("live regions: %+v", l)
	}
}

func TestNarrowScreen(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "sensor", "-source", "host", "-source", "t=http")
	p := openPage(t, s.url())
	p.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	fits := func(when string) {
		t.Helper()
		if w := eval[int](p, `document.documentElement.scrollWidth`); w > 360 {
			wide := eval[[]string](p, `[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > 361 && !e.closest('svg'))
				.map((e) => e.tagName + '#' + e.id + '.' + e.className + ' ' + e.getBoundingClientRect().right).slice(0, 5)`)
			t.Errorf("%s the page is %d px wide on a screen of 360: %v", when, w, wide)
		}
	}
	fits("disconnected")
	for _, topic := range []string{"sensor", "host"} {
		if topic != "sensor" {
			p.choose(topic)
		}
		if topic == "sensor" {
			p.do(chromedp.Tap(chromedp.CSS("#connect")))
		}
		p.state("connected")
		p.wait(`document.querySelectorAll('#sse-feed .data-item').length >= 2`)
		fits(topic)
	}
	p.choose("t")
	p.state("connected")
	s.publish("t", `{"a_long_name_without_any_place_to_break_it_anywhere_at_all":123456789.123456789}`,
		`{"text":"`+strings.Repeat("x", 3000)+`"}`, `"`+strings.Repeat("https://example.org/", 100)+`"`)
	p.total(3)
	fits("with long words")
	// What a finger has to hit is large enough.
	p.wait(`['#disconnect', '#theme', '#clear', '#follow'].every((s) => { const b = document.querySelector(s).getBoundingClientRect(); return b.width >= 24 && b.height >= 24 })`)
}
