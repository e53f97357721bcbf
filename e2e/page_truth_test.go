package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// journeyOf opens the newest row's journey, and returns how long the row says that
// it took, how long the panel, and whose journey it is.
func (p *page) journeyOf() (row, panel float64, reader string) {
	p.t.Helper()
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`document.querySelector('#journey .waterfall [data-service="weir-browser"]')`)
	row = eval[float64](p, `Number(document.querySelector('#sse-feed .data-item[aria-pressed=true]').dataset.latency)`)
	text := p.text(`#journey [data-total]`)
	number, unit, _ := strings.Cut(text, " ")
	panel, err := strconv.ParseFloat(number, 64)
	if err != nil {
		p.t.Fatalf("the journey took %q", text)
	}
	if unit == "s" {
		panel *= 1000
	}
	reader = eval[string](p, `[...document.querySelectorAll('#journey [data-depth="0"] .attrs div')].find((e) => e.querySelector('dt').textContent === 'reader')?.querySelector('dd').textContent ?? ''`)
	return row, panel, reader
}

// Two browsers, one of them busy: each is told its own journey of the same event.
func TestEachReaderHasItsOwnJourney(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	quick, slow := openPage(t, s.url()), openPage(t, s.url())
	quick.connect()
	slow.connect()
	s.publish("t", seq(0, 1)...)
	quick.latest(0)
	slow.latest(0)
	slow.run(`void setTimeout(() => { const end = performance.now() + 700; while (performance.now() < end); }, 50)`)
	pause(200 * time.Millisecond)
	s.publish("t", seq(1, 2)...)
	quick.latest(1)
	slow.latest(1)
	slow.wait(`document.querySelector('#sse-feed .data-item:last-child').dataset.latency`)
	readers := map[string]bool{}
	for name, p := range map[string]*page{"quick": quick, "slow": slow} {
		row, panel, reader := p.journeyOf()
		// Both begin when the server took the event.
		if panel < row-10 || panel > row+10 {
			t.Errorf("%s: the row says %v ms, the panel %v ms", name, row, panel)
		}
		if own := p.text("#stream-connection"); reader != own {
			t.Errorf("%s: the journey is that of reader %q, this page is %q", name, reader, own)
		}
		readers[reader] = true
	}
	if len(readers) != 2 {
		t.Errorf("both are told the journey of one: %v", readers)
	}
}

// What had happened before the stream was open is no latency, and its journey
// names the wait.
func TestReplayIsNoLatency(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	s.publish("t", seq(0, 20)...)
	p := openPage(t, s.url())
	pause(1500 * time.Millisecond)
	p.connect()
	p.total(20)
	p.wait(`document.querySelectorAll('#sse-feed .data-item[data-replayed]').length === 20 && [...document.querySelectorAll('.item-latency')].every((cell) => cell.textContent === 'replayed')`)
	p.stays(500*time.Millisecond, `document.getElementById('latency-p50').textContent === '–'`)
	if eval[bool](p, `[...document.querySelectorAll('#sse-feed .data-item')].some((e) => e.dataset.latency)`) {
		t.Error("a replayed row tells a latency")
	}
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`document.querySelector('#journey .waterfall [data-span="wait in the log"]')`)
	p.click("#journey-close")
	s.publish("t", seq(20, 21)...)
	p.latest(20)
	p.wait(`document.getElementById('latency-p50').textContent.endsWith('s')`)
	if eval[bool](p, `document.querySelector('#sse-feed .data-item:last-child').dataset.replayed !== undefined`) {
		t.Error("a live event is marked as replayed")
	}
}

// A burst is as many events as it is, and an outage does not make a minute shorter.
func TestPerMinuteCountsTheLastMinute(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "50ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 700)...)
	p.total(700)
	p.wait(`document.getElementById('events-per-minute').textContent === '700+'`)
	via.down()
	s.publish("t", seq(700, 720)...)
	via.up()
	p.total(720)
	p.wait(`document.getElementById('events-per-minute').textContent === '720+'`)
}

// The keyboard's focus survives what it presses.
func TestFocusIsKept(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "20s")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	for _, button := range []string{"retry", "dismiss"} {
		via.down()
		p.state("error")
		p.run(`document.getElementById(%q).focus()`, button)
		if button == "retry" {
			via.up()
			p.do(chromedp.KeyEvent(kb.Enter))
			p.state("connected")
		} else {
			p.do(chromedp.KeyEvent(kb.Enter))
			p.state("disconnected")
		}
		p.wait(`['connect', 'disconnect'].includes(document.activeElement.id) && document.activeElement.checkVisibility()`)
	}
}

// A reload, a link and Back lose nothing: the rows, the count, and the stream.
func TestReloadGoesOn(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "one=http", "-source", "t=http")
	p := openPage(t, s.url())
	p.expect(`favicon.ico`) // which a browser wants for any address
	p.choose("t")
	p.connect()
	s.publish("t", seq(0, 30)...)
	p.latest(29)
	p.wait(`document.querySelector('#sse-feed .data-item').dataset.latency`) // a moment after it is drawn
	latency := eval[string](p, `document.querySelector('#sse-feed .data-item').dataset.latency`)
	next := 30
	for _, leave := range []string{`location.reload()`, `location.href = '/'`, `location.href = '/sse-health'`} {
		p.run(`window.old = true; void setTimeout(() => { %s })`, leave)
		p.wait(`!window.old && document.readyState === 'complete'`)
		s.publish("t", seq(next, next+3)...) // while nobody may be there
		next += 3
		if strings.Contains(leave, "health") {
			p.run(`void setTimeout(() => history.back())`)
			p.wait(`document.getElementById('connect')`)
		}
		p.state("connected")
		p.latest(next - 1)
		contiguous(t, p.seqs(), 0, next)
		p.total(next)
	}
	if now := eval[string](p, `document.querySelector('#sse-feed .data-item').dataset.latency`); now != latency {
		t.Errorf("the first row's latency is %s, and was %s", now, latency)
	}
	p.run(`document.getElementById('disconnect').click()`)
	p.state("disconnected")
	p.reload()
	p.stays(500*time.Millisecond, `document.body.dataset.state === 'disconnected'`)
}

func TestUnknownTopicIsNoOther(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url()+"/?topic=nope")
	p.expect(status(404))
	p.wait(`document.getElementById('notice-message').textContent.includes('“nope”')`)
	if eval[bool](p, `Boolean(document.querySelector('#topics input:checked'))`) {
		t.Error("another topic is chosen under the address of one that does not exist")
	}
	p.click("#connect")
	p.state("error")
	p.wait(`document.getElementById('error-message').textContent.includes('(404)')`)
	p.choose("t")
	p.connect()
}

func TestChosenTopicIsInSight(t *testing.T) {
	t.Parallel()
	args := []string{}
	for n := range 12 {
		args = append(args, "-source", fmt.Sprintf("a-long-name-%02d=http", n))
	}
	s := startServer(t, args...)
	p := openPage(t, s.url())
	p.do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(s.url()+"/?topic=a-long-name-09"))
	p.wait(`document.getElementById('theme')?.title`)
	p.wait(`(() => { const [a, b] = [document.querySelector('#topics input:checked').parentElement, document.getElementById('topics')].map((e) => e.getBoundingClientRect());
		return a.left >= b.left - 1 && a.right <= b.right + 1 })()`)
}

func TestOfflineLeavesAHealthyStreamAlone(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-heartbeat", "1s")
	p := openPage(t, s.url())
	p.expect(offline)
	p.connect()
	p.wait(`document.getElementById('connection-time').textContent >= '00:01'`)
	p.network(false)
	p.wait(`document.getElementById('network-status').dataset.network === 'offline'`)
	p.network(true)
	p.wait(`document.getElementById('network-status').dataset.network === 'online'`)
	p.stays(3*time.Second, `document.body.dataset.state === 'connected' && document.getElementById('connection-time').textContent >= '00:01'`)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want the one that lived through it", n)
	}
}

// What a person reads while the stream is down, and after.
func TestWordsOfAnOutage(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "1s")
	p := openPage(t, s.url())
	p.expect(broken, refused)
	p.connect()
	s.publish("t", seq(0, 2)...)
	p.latest(1)
	s.kill()
	p.state("error")
	p.wait(`/^down 00:\d\d$/.test(document.getElementById('connection-time').textContent)`)
	p.says("#disconnect", "Stop trying")
	if eval[bool](p, `document.getElementById('network-status').checkVisibility()`) {
		t.Error("it says that the network is there, which nobody asked")
	}
	p.wait(`document.getElementById('favicon').dataset.state === 'error' && document.title.startsWith('▲')`)
	p.click(`#views [data-view=traces]`)
	p.wait(`document.getElementById('traces').dataset.traces === 'failed'`)
	s.start()
	p.state("connected")
	p.wait(`document.getElementById('traces').dataset.traces === 'none'`) // no longer that the server is away
	p.click(`#views [data-view=feed]`)
	p.wait(`document.querySelector('.feed-note[data-note=gap]')`)
	note := p.text(`.feed-note[data-note=gap] span`)
	told := regexp.MustCompile(`^Events may be missing, (\d\d:\d\d:\d\d(?:\.\d{3})?)–(\d\d:\d\d:\d\d(?:\.\d{3})?): `).FindStringSubmatch(note)
	if told == nil || told[1] == told[2] {
		t.Errorf("the gap is told as %q", note)
	}
	p.wait(`document.getElementById('stream-resumed').textContent === 'once' && document.getElementById('stream-gaps').textContent === '1'`)
	p.wait(`document.querySelector('dt:has(+ #stream-resumed)').textContent === 'Reopened'`) // what a gap has broken is not resumed
	p.wait(`document.title === 't · Weir' && document.getElementById('favicon').dataset.state === 'connected'`)
}

// A row that was pressed stays in sight, however much comes.
func TestPressedRowStays(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 5)...)
	p.latest(4)
	p.click(`#sse-feed .data-item:nth-child(3)`)
	for n := 5; n < 120; n += 23 {
		s.publish("t", seq(n, n+23)...)
		p.total(n + 23)
		p.wait(`new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
	}
	p.wait(`(() => { const [row, feed] = [document.querySelector('#sse-feed [aria-pressed=true]'), document.getElementById('sse-feed')].map((e) => e.getBoundingClientRect()); return row.top >= feed.top && row.bottom <= feed.bottom })()`)
	p.click("#journey-close")
	p.latest(119)
}

func TestSlowLooksSlow(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.publishAndWork("t", `{"seq":1}`, 2500*time.Millisecond)
	p.latest(1)
	p.wait(`document.querySelector('#sse-feed .data-item:last-child .item-latency').dataset.pace === 'bad'`)
	if text := p.text(`#sse-feed .data-item:last-child .item-latency`); !regexp.MustCompile(`^\d\.\d\d s$`).MatchString(text) {
		t.Errorf("a latency of seconds is written %q", text)
	}
}

// Without scripts there is nothing to press, and a link to what works.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.Navigate(s.url()))
	if seen := eval[[]string](p, `[...document.querySelectorAll('button, select, input')].filter((e) => e.checkVisibility()).map((e) => e.id)`); len(seen) > 1 {
		t.Errorf("without scripts these can be pressed: %v", seen)
	}
	if !eval[bool](p, `document.body.innerText.includes('needs JavaScript')`) {
		t.Error("the page does not say that it needs scripts")
	}
}

// What the page counts, charts and hands out is what there is.
func TestWhatThePageHandsOut(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", "20", "20.5", "1000", "20", "50")
	p.wait(`document.querySelector('[data-chart="t"] .chart-value')?.textContent === '50'`)
	p.wait(`document.querySelector('[data-chart="t"] .chart-range').textContent === '20 – 1000'`)
	// Who holds the view has all of it in view.
	p.click("#follow")
	s.publish("t", "1", "2")
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length === 7 && document.getElementById('jump').textContent === 'Paused · nothing newer to show'`)
	p.click("#jump")
	p.hidden("#jump")
	// So has who presses the newest row, until there is more than the view has room for.
	p.click(`#sse-feed .data-item:last-child`)
	p.says("#jump", "Paused · nothing newer to show")
	p.run(`document.getElementById('sse-feed').style.maxHeight = '120px'`)
	p.says("#jump", "Jump to latest")
	p.run(`document.getElementById('sse-feed').style.maxHeight = ''`)
	p.click("#jump")
	// A row holds a part of a large event. The panel has the whole.
	large := fmt.Sprintf(`{"n":1.50,"text":%q}`, strings.Repeat("x", 100_000))
	s.publish("t", large)
	p.total(8)
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`JSON.stringify(JSON.parse(document.getElementById('event-payload').textContent || '{}')).length > 100000 && document.getElementById('event-payload').textContent.includes('1.50')`)
	// What was cleared has happened all the same.
	p.click("#clear")
	p.wait(`document.getElementById('total-events').textContent === '0' && document.getElementById('events-per-minute').textContent === '8+'`)
	p.wait(`/^caught up \(\d\d:\d\d:\d\d\)$/.test(document.getElementById('stream-lag').textContent)`)
}
