package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// publishAndWork has the page publish an event, and be at something else for so long
// before it can read it: the event takes at least that.
func (p *page) publishAndWork(topic, event string, d time.Duration) {
	p.t.Helper()
	p.expect("Synchronous XMLHttpRequest")
	p.run(`{
		const ask = new XMLHttpRequest();
		ask.open('POST', '/publish?topic=%s', false);
		ask.setRequestHeader('Authorization', 'Bearer %s');
		ask.setRequestHeader('Content-Type', 'application/json');
		ask.send(%q);
		for (const end = performance.now() + %d; performance.now() < end;);
	}`, topic, token, event, d.Milliseconds())
}

// A page whose main thread was at something else says so, and a network that
// takes long is not taken for that.
func TestBusyPageIsNotTheNetwork(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	via := startProxy(t, s.addr)
	busy, far := openPage(t, s.url()), openPage(t, via.url())
	for _, p := range []*page{busy, far} {
		p.connect()
	}
	s.publish("t", seq(0, 1)...)
	busy.latest(0)
	far.latest(0)
	via.late(500 * time.Millisecond)
	type reader struct {
		p          *page
		long, less string
		steps      map[string]float64
	}
	// Where others use the machine, a page is held up in earnest, and so is its network:
	// one event of several tells.
	untold := map[string]*reader{"busy page": {p: busy, long: "busy", less: "network"}, "slow network": {p: far, long: "network", less: "busy"}}
	for n := 1; len(untold) > 0 && n <= 8; n++ {
		busy.run(`void setTimeout(() => { const end = performance.now() + 1200; while (performance.now() < end); }, 50)`)
		pause(200 * time.Millisecond)
		s.publish("t", seq(n, n+1)...)
		busy.latest(n)
		far.latest(n)
		for name, r := range untold {
			if r.steps = r.p.steps(); r.steps[r.long] >= 300 && r.steps[r.less] <= r.steps[r.long]/2 {
				delete(untold, name)
			} else {
				r.p.click("#journey-close")
			}
		}
	}
	for name, r := range untold {
		t.Errorf("%s: %v, want most of it in %s", name, r.steps, r.long)
	}
	busy.wait(`document.querySelector('#journey [data-span="page busy or frozen"]')`)
}

// steps opens the newest row's journey, and returns how many ms each step took.
func (p *page) steps() map[string]float64 {
	p.t.Helper()
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`document.querySelector('#journey .waterfall [data-service="weir-browser"]')`)
	return eval[map[string]float64](p, `(async () => {
		const item = document.querySelector('#sse-feed .data-item[aria-pressed=true]');
		const query = new URLSearchParams({ event: item.dataset.id, connection: document.getElementById('stream-connection').textContent.trim() });
		const answer = await fetch('/traces/' + item.dataset.traceparent.slice(3, 35) + '?' + query, { headers: { Accept: 'application/json' } });
		return Object.fromEntries((await answer.json()).steps.map((s) => [s.step, s.duration_ms]));
	})()`)
}

// A page that the server has cut off, since it took nothing, is told so when it is back:
// on the stream that was cut nobody could tell it.
func TestPageIsToldThatItWasCut(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-write-timeout", "1s", "-publish-rate", "0")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.total(1)
	via.cut() // which is no fault of the page's
	p.wait(`document.body.dataset.state !== 'connected'`)
	p.retry()
	p.state("connected")
	p.says("#stream-resumed", "once, nothing missed")
	p.stays(time.Second, `!document.getElementById('notice-banner').checkVisibility()`)
	via.late(5 * time.Second)
	pad, n := strings.Repeat("x", 600), 1
	eventually(t, func() bool {
		var events []string
		for range 400 {
			events = append(events, fmt.Sprintf(`{"seq":%d,"pad":%q}`, n, pad))
			n++
		}
		s.publish("t", events...)
		return s.health().ActiveConnections == 0
	}, func() string { return "a page that takes nothing is not cut off" })
	via.late(0)
	p.retry()
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'cut-off' && document.getElementById('notice-message').textContent.includes('The server had cut this page off')`)
}

// Who works by the keyboard keeps the focus when what was pressed goes, also where frames
// are late.
func TestFocusStaysWhereFramesAreLate(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "60s")
	p := openPage(t, s.url()+"/?topic=nothing.of.that.name")
	p.expect(broken, status(404))
	p.run(`{
		const frame = window.requestAnimationFrame;
		window.requestAnimationFrame = (act) => setTimeout(() => frame(act), 300);
	}`)
	press := func(selector, key, then string) {
		t.Helper()
		p.visible(selector)
		p.run(`document.querySelector(%q).focus()`, selector)
		p.do(chromedp.KeyEvent(key))
		p.hidden(selector)
		p.wait(`document.activeElement.id === %q`, then)
	}
	press("#notice-dismiss", kb.Enter, "connect")
	p.choose("t")
	press("#connect", kb.Enter, "disconnect")
	p.state("connected")
	press("#disconnect", " ", "connect")
	p.state("disconnected")
	p.connect()
	s.kill()
	p.state("error")
	press("#dismiss", kb.Enter, "connect")
}
