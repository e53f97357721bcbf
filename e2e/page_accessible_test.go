package e2e_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestAccessible has axe-core look at every state of every view, in both schemes
// and in forced colours.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile("../web/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal("axe-core is not installed: run make assets first: ", err)
	}
	for _, c := range []struct{ name, scheme, forced string }{
		{"light", "light", "none"}, {"dark", "dark", "none"}, {"forced", "light", "active"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, "-source", "sensor", "-source", "t=http", "-retry", "20s", "-topics", "run.*")
			via := startProxy(t, s.addr)
			p := openPage(t, via.url())
			p.expect(broken, status(404))
			p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
				_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}, {Name: "forced-colors", Value: c.forced}, {Name: "prefers-reduced-motion", Value: "reduce"}},
				})
				return err
			}))
			p.run("%s", string(axe)+"\n;void 0")
			look := func(state string) {
				t.Helper()
				p.wait(`new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
				violations := eval[[]string](p, `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
					.then(({ violations }) => violations.flatMap((v) => v.nodes.slice(0, 3).map((n) => v.id + ': ' + n.html.slice(0, 160) + ' | ' + n.failureSummary.replace(/\s+/g, ' ').slice(0, 260))))`)
				for _, v := range violations {
					t.Errorf("%s: %s", state, v)
				}
			}
			p.wait(`document.getElementById('theme').title`)
			look("disconnected")
			p.choose("t")
			p.connect()
			look("connected, nothing yet")
			for n := range 4 {
				s.publish("t", fmt.Sprintf(`{"seq":%d,"load":{"cpu":%d},"text":"some words"}`, n, n))
				p.total(n + 1)
				pause(30_000_000)
			}
			s.publishText("t", "a line of text")
			p.wait(`document.querySelector('#charts canvas')`)
			look("connected")
			for n := range 6 {
				s.publishAs("t", "application/cloudevents+json", fmt.Sprintf(`{"specversion":"1.0","id":"s%d","source":"/s","type":"x","time":"2020-01-01T00:00:00Z","subject":"subject-%d","data":{"seq":%d}}`, n, n, n))
			}
			p.wait(`document.querySelectorAll('[data-chart=seq] .chart-line').length === 4 && document.querySelector('.chart-others').textContent && document.querySelector('.item-time .date')`)
			look("several lines, and another day")
			p.click(`#sse-feed .data-item:nth-child(2)`)
			p.wait(`document.querySelector('#journey .waterfall')`)
			p.click("#raw-frame")
			p.wait(`document.getElementById('raw-bytes').textContent.includes('id:')`)
			look("an event and its journey")
			p.click("#journey-close")
			p.run(`document.getElementById('more').open = true; document.getElementById('charts-menu').open = true`)
			look("menus")
			p.run(`document.getElementById('more').open = false; document.getElementById('charts-menu').open = false`)
			p.run(`document.getElementById('keys').showModal()`)
			look("shortcuts")
			p.run(`document.getElementById('keys').close()`)
			p.run(`document.getElementById('filter-text').value = 'nothing'; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
			look("filtered")
			p.run(`document.getElementById('filter-text').value = ''; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
			p.click(`#views [data-view=streams]`)
			p.wait(`document.querySelector('#streams-rows tr')`)
			look("streams")
			p.click(`#views [data-view=traces]`)
			p.wait(`document.querySelector('.trace-line')`)
			s.publishText("t", "not on screen")
			p.wait(`document.querySelector('.trace-part')?.textContent.startsWith('in the page')`)
			p.blockReports()
			s.publishText("t", "not reported")
			p.wait(`document.querySelector('.trace-ms[data-awaited]')`)
			look("traces")
			p.click("#traces-follow")
			p.says("#traces-follow", "Paused")
			p.click(`.trace-line`)
			p.wait(`document.querySelector('#trace .waterfall')`)
			p.run(`document.querySelector('#trace details').open = true`)
			look("a trace")
			p.run(`document.getElementById('traces-min').options[4].value = document.getElementById('traces-min').value = '1h'; document.getElementById('traces-min').selectedIndex = 4; document.getElementById('traces-min').dispatchEvent(new Event('change', { bubbles: true }))`)
			p.wait(`document.getElementById('traces').dataset.traces === 'none'`)
			look("no trace")
			p.click(`#views [data-view=feed]`)
			via.down()
			p.state("error")
			look("error")
			p.do(chromedp.EmulateViewport(320, 256))
			look("enlarged fourfold")
			if h := eval[float64](p, `getComputedStyle(document.querySelector('.top')).position === 'sticky' ? document.querySelector('.top').offsetHeight : 0`); h > 64 {
				t.Errorf("of a window of 256 px the head takes %v for good", h)
			}
		})
	}
}
