package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots photographs the page in each of its states, for people to
// look at: go test ./e2e -run TestScreenshots -screenshots DIR. In an ordinary
// run the pictures go to a directory that is thrown away, and what is tested is
// that each state can be reached at each width without a word in the console.
func TestScreenshots(t *testing.T) {
	dir := *screenshots
	widths := []int64{360, 768, 1280, 1600}
	themes := []string{"light", "dark"}
	readings := 12 // in the picture
	if dir == "" {
		dir = t.TempDir()
		widths, themes, readings = []int64{360}, []string{"dark"}, 2 // enough for that
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, width := range widths {
		for _, theme := range themes {
			t.Run(fmt.Sprintf("%d-%s", width, theme), func(t *testing.T) {
				t.Parallel()
				photograph(t, width, theme, readings, func(state string) string {
					return filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", state, width, theme))
				})
			})
		}
	}
}

func photograph(t *testing.T, width int64, theme string, readings int, name func(state string) string) {
	// Numbers that look like what people will see: a sensor, a machine.
	s := newServer(t, "-source", "sensor", "-source", "host", "-source", "orders=http", "-source", "log=stdin", "-retry", "8s", "-history", "300", "-publish-rate", "0", "-topics", "run.*", "-jaeger-ui", "http://127.0.0.1:16686")
	stdin, lines := pipe(t)
	s.stdin = stdin
	s.start()
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken, status(503))
	height := map[int64]int64{360: 780, 768: 1024, 1280: 900, 1600: 1000}[width]
	p.do(
		chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1)),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
			})
			return err
		}),
	)
	p.reload() // what is shown first depends on the width
	take := func(state string) {
		t.Helper()
		p.wait(`new Promise((r) => { scrollTo(0, 0); requestAnimationFrame(() => requestAnimationFrame(() => r(true))) })`)
		if w := eval[int64](p, `document.documentElement.scrollWidth`); w > width {
			t.Errorf("%s: the page is %d px wide on a screen of %d", state, w, width)
		}
		png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(name(state), png, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	choose := func(topic string) {
		t.Helper()
		p.choose(topic)
		p.state("connected")
	}

	p.wait(`window.htmx && document.getElementById('theme').title`)
	take("disconnected")

	via.holdNew()
	via.cut()
	p.click("#connect")
	p.state("connecting")
	take("connecting")
	p.visible("#slow-banner")
	take("connecting-slow")
	via.release()
	p.state("connected")
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length >= %d`, readings)
	take("connected-sensor")

	p.click(`#sse-feed .data-item:nth-last-of-type(2)`)
	p.wait(`document.querySelector('#journey .waterfall [data-service="weir-browser"]')`)
	take("journey")
	p.click("#raw-frame")
	p.wait(`document.getElementById('raw-bytes').textContent.includes('id:')`)
	take("raw-frame")
	p.click("#journey-close")

	choose("host")
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length >= %d`, readings/2)
	take("connected-host")

	view := func(name string) {
		t.Helper()
		p.click(`#views [data-view=` + name + `]`)
		p.wait(`document.body.dataset.view === %q`, name)
	}
	view("streams")
	for _, format := range []string{"json", "html"} {
		subscribe(t, s.url()+"/sse-stream?topic=sensor&format="+format, nil)
	}
	p.wait(`document.querySelectorAll('#streams-rows tr').length === 3 && document.querySelectorAll('.band').length === 4`)
	p.wait(`new Promise((r) => setTimeout(() => r(true), 1200))`) // what moves comes to rest
	take("streams")
	view("traces")
	p.wait(`document.querySelector('.trace-line')`)
	take("traces")
	p.click(`.trace-line`)
	p.wait(`document.querySelector('#trace .waterfall')`)
	take("trace")
	p.run(`document.querySelector('#trace details:nth-of-type(2)').open = true`)
	take("trace-attributes")
	p.run(`document.getElementById('traces-min').value = '1s'; document.getElementById('traces-min').dispatchEvent(new Event('change', { bubbles: true }))`)
	p.wait(`document.getElementById('traces').dataset.traces === 'none'`)
	take("traces-none")
	view("feed")
	p.run(`document.getElementById('keys').showModal()`)
	take("shortcuts")
	p.run(`document.getElementById('keys').close()`)
	p.run(`document.getElementById('more').open = true`)
	take("menu")
	p.run(`document.getElementById('more').open = false`)
	p.run(`document.getElementById('filter-text').value = 'nothing like this'; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
	p.visible("#feed-none")
	take("filtered")
	p.run(`document.getElementById('filter-text').value = ''; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
	if width < 640 {
		p.run(`document.getElementById('show-try').click()`)
	}
	p.click("#cut")
	p.state("error")
	take("cut")
	p.state("connected")
	p.wait(`document.getElementById('try-said').textContent.startsWith('Cut for')`)
	take("healed")

	choose("orders")
	var orders []string
	for n := range 60 {
		orders = append(orders, fmt.Sprintf(`{"total":%d.50,"items":%d,"customer":"Customer %d","note":"%s"}`, 20+n*7%60, n%5+1, n, strings.Repeat("wrapped ", n%4)))
	}
	s.publish("orders", orders...)
	p.total(60)
	p.wait(`(() => { const f = document.getElementById('sse-feed'); return f.childElementCount === 50 && f.scrollHeight - f.clientHeight - f.scrollTop <= 1 })()`)
	p.run(`document.getElementById('sse-feed').scrollTo(0, 200)`)
	p.visible("#jump")
	s.publish("orders", `{"total":1,"items":1}`)
	p.wait(`document.getElementById('jump').textContent.includes('1 new')`)
	take("scrolled-up")
	p.click("#jump")

	// One who does not read: behind, and the tail comes nearer.
	slow := deaf(t, s, "orders")
	for n := range 20 {
		var large []string
		for i := range 20 {
			large = append(large, fmt.Sprintf(`{"total":%d,"items":1,"note":%q}`, n*20+i, strings.Repeat("x", 20_000)))
		}
		s.publish("orders", large...)
	}
	view("streams")
	p.wait(`[...document.querySelectorAll('#streams-rows tr')].some((row) => row.cells[8].dataset.level === 'bad')`)
	p.wait(`new Promise((r) => setTimeout(() => r(true), 1200))`)
	take("streams-behind")
	_ = slow.Close()
	view("feed")
	p.click("#clear")
	s.publish("orders", orders...)
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length === 50`)

	// A gap: what the page has seen last is older than the server.
	via.answer(&answers{status: 503, header: http.Header{"Content-Type": {"application/problem+json"}, "Retry-After": {"30"}}, body: problemJSON(503, "This server has as many streams open as it may have. Try again later.")})
	p.state("error")
	p.retry()
	p.wait(`document.getElementById('retry-countdown').textContent.includes('Next try in') && document.body.dataset.state === 'error' && document.getElementById('error-message').textContent.includes('503')`)
	take("error-countdown")
	s.kill()
	stdin2, lines2 := pipe(t)
	s.stdin = stdin2
	s.start()
	via.answer(nil)
	p.click("#retry")
	p.wait(`document.querySelector('.feed-note[data-note=gap]')`)
	s.publish("orders", orders[:3]...)
	p.wait(`document.querySelector('.feed-note[data-note=gap] ~ .data-item')`)
	take("gap")

	choose("log")
	fmt.Fprintln(lines2, "Nov 22 18:31:02 host kernel: a line of a program, as long as such lines are, and then some more of it")
	fmt.Fprintln(lines2, `{"level":"info","msg":"a structured line","took_ms":12.5}`)
	p.total(2)
	_ = lines.Close()
	_ = lines2.Close()
	p.state("disconnected")
	take("closed")
	p.expect(status(404))
	p.do(chromedp.Navigate(via.url() + "/?topic=nope"))
	p.visible("#notice-banner")
	take("unknown-topic")
}
