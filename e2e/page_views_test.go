package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Each view has an address, which Back and a reload know, and the stream runs on
// beneath.
func TestViewsHaveAddresses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	for i, view := range []string{"feed", "streams", "traces", "feed"} {
		p.do(chromedp.KeyEvent([]string{"1", "2", "3", "1"}[i]))
		p.wait(`document.body.dataset.view === %q && document.getElementById('view-%s').checkVisibility()`, view, view)
		p.wait(`document.querySelector('#views [aria-current=page]').dataset.view === %q`, view)
	}
	p.do(chromedp.KeyEvent("2"))
	p.wait(`location.search.includes('view=streams')`)
	s.publish("t", seq(0, 3)...)
	p.total(3)
	p.run(`void history.back()`)
	p.wait(`document.body.dataset.view !== 'streams'`)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want the one that ran on", n)
	}
	p.run(`void (location.href = '/?view=streams&topic=t')`)
	p.wait(`document.body.dataset.view === 'streams' && document.readyState === 'complete'`)
	// So has the stream that the view of the streams reads, as /traces has.
	p.run(`void (location.href = '/streams')`)
	p.wait(`location.pathname === '/streams' && document.body.dataset.view === 'streams' && document.querySelector('.band[data-band=t]')`)
}

// What an event was: its payload, digit by digit, its frame, and its address.
func TestEventPanel(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	id := s.publish("t", `{"big":12345678901234567890,"nested":{"cpu":1.50,"list":[1,{"deep":2}]},"text":"a\"b"}`)[0]
	p.total(1)
	p.click(`#sse-feed .data-item`)
	p.says("#event-id", id)
	want := "{\n  \"big\": 12345678901234567890,\n  \"nested\": {\n    \"cpu\": 1.50,\n    \"list\": [\n      1,\n      {\n        \"deep\": 2\n      }\n    ]\n  },\n  \"text\": \"a\\\"b\"\n}"
	if got := eval[string](p, `document.getElementById('event-payload').textContent`); got != want {
		t.Errorf("the payload is shown as\n%s\nwant\n%s", got, want)
	}
	p.wait(`location.search.includes('event=%s')`, id)
	p.click("#raw-frame")
	p.wait(`document.getElementById('raw-bytes')?.textContent.includes('12345678901234567890')`)
	p.wait(`document.getElementById('raw-bytes').textContent.includes('id: %s') && document.getElementById('raw-bytes').textContent.includes('"specversion":"1.0"')`, id)
	// The address shows the event to somebody else, who has no stream.
	other := openPage(t, s.url()+"/?topic=t&event="+id)
	other.says("#event-id", id)
	other.wait(`document.getElementById('event-payload').textContent.includes('12345678901234567890')`)
	other.state("disconnected")
	gone := openPage(t, s.url()+"/?topic=t&event=1-1")
	gone.expect(status(404))
	gone.wait(`document.querySelector('#journey .journey-missing').textContent.includes('does not hold')`)
	bad := openPage(t, s.url()+"/?topic=t&event=hello")
	bad.wait(`document.querySelector('#journey .journey-missing').textContent.includes('“hello” cannot be the ID of an event')`)
	s.connections(1)
	// To look for an event is no loss to anybody.
	if lost := regexp.MustCompile(`(?m)^sse_server_gaps_total\{.*\} [1-9].*$`).FindString(get(t, s.url()+"/metrics", "").body); lost != "" {
		t.Error(lost)
	}
}

func TestFilterPauseAndDownload(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", `{"name":"apple","n":1}`, `{"name":"pear","n":2}`, `{"name":"apple pie","n":3}`)
	p.total(3)
	p.do(chromedp.KeyEvent("/"))
	p.wait(`document.activeElement.id === 'filter-text'`)
	// The driver sends the character by an event of its own, which the page cannot
	// prevent as it does for a keyboard, and which may find the field in focus already.
	p.run(`document.getElementById('filter-text').value = ''`)
	p.do(chromedp.KeyEvent("apple"))
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item')].map((e) => e.checkVisibility()).join() === 'true,false,true'`)
	p.do(chromedp.KeyEvent(kb.Escape)) // leaves the filter, once pressed
	p.wait(`document.activeElement.id === 'sse-feed' || document.activeElement.matches('.data-item')`)
	s.publish("t", `{"name":"plum","n":4}`)
	p.total(4)
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item')].map((e) => e.checkVisibility()).join() === 'true,false,true,false'`)
	lines := eval[string](p, `new Promise((resolve) => { const create = URL.createObjectURL; URL.createObjectURL = (blob) => { blob.text().then(resolve); return create(blob) }; document.getElementById('download').click() })`)
	if n := strings.Count(lines, "\n"); n != 2 || !strings.Contains(lines, `"data":{"name":"apple","n":1}`) {
		t.Errorf("the download is %q", lines)
	}
	p.run(`document.getElementById('filter-text').value = ''; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true })); document.activeElement.blur()`)
	p.run(`document.getElementById('filter-slower').append(new Option('no row', '1e9')); document.getElementById('filter-slower').value = '1e9'; document.getElementById('filter-slower').dispatchEvent(new Event('change', { bubbles: true }))`)
	p.visible("#feed-none")
	p.click("#show-all")
	p.hidden("#feed-none")
	p.wait(`document.getElementById('filter-slower').value === '0' && document.activeElement.id === 'filter-text'`)
	p.run(`document.activeElement.blur()`)
	// A row that comes is looked at again once it is known how slow it was.
	p.run(`document.getElementById('filter-slower').value = '200'; document.getElementById('filter-slower').dispatchEvent(new Event('change', { bubbles: true }))`)
	p.publishAndWork("t", `{"name":"slow","n":5}`, time.Second)
	p.total(5)
	p.wait(`(() => { const last = document.querySelector('#sse-feed .data-item:last-child'); return last.textContent.includes('slow') && Number(last.dataset.latency) > 200 && last.checkVisibility() })()`)
	p.run(`document.getElementById('filter-slower').value = '0'; document.getElementById('filter-slower').dispatchEvent(new Event('change', { bubbles: true }))`)
	// Pause holds, whatever comes.
	p.do(chromedp.KeyEvent("p"))
	p.wait(`document.getElementById('follow').getAttribute('aria-pressed') === 'false'`)
	first := eval[string](p, `document.querySelector('#sse-feed .data-item').dataset.id`)
	s.publish("t", seq(0, 200)...)
	p.total(205)
	// What has room below the first rows is in view, and not counted.
	p.wait(`(() => {
		const { bottom } = document.getElementById('sse-feed').getBoundingClientRect();
		const seen = [...document.querySelectorAll('#sse-feed .data-item')].slice(5).filter((e) => e.getBoundingClientRect().top < bottom - 8).length;
		return document.getElementById('jump').textContent === 'Jump to latest (' + (200 - seen) + ' new)';
	})()`)
	if got := eval[string](p, `document.querySelector('#sse-feed .data-item').dataset.id`); got != first {
		t.Error("the row that was at the top has gone while the feed was paused")
	}
	// Times in UTC, and the shortcuts.
	p.run(`document.getElementById('utc').click()`)
	p.wait(`document.querySelector('#sse-feed .item-time').title.endsWith('UTC')`)
	p.do(chromedp.KeyEvent("?"))
	p.wait(`document.getElementById('keys').open && document.querySelectorAll('#keys-list div').length >= 10`)
	p.do(chromedp.KeyEvent(kb.Escape))
	p.wait(`!document.getElementById('keys').open`)
}

// Cut the line, and freeze this page: what Weir is for, in two buttons.
func TestTryIt(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.expect(status(401))
	p.connect()
	s.publish("t", seq(0, 3)...)
	p.latest(2)
	p.wait(`document.getElementById('try-curl').textContent.startsWith('curl -d hello ')`)
	p.click("#publish") // this server wants a token
	p.wait(`document.getElementById('try-said').textContent === 'Publishing needs a token here: give the page one.'`)
	other := p.openBeside(s.url())
	other.connect()
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, cdppage.BringToFront, cdp.Empty{})
		return err
	}))
	p.run(`document.getElementById('cut').focus()`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.state("error")
	if id := eval[string](p, `document.activeElement.id`); id != "cut" {
		t.Errorf("the keyboard's focus went from the button to %q", id)
	}
	other.visible("#error-banner") // nothing else tells why
	p.wait(`document.getElementById('try-said').textContent.startsWith('The line is cut')`)
	if eval[bool](p, `document.getElementById('error-banner').checkVisibility()`) {
		t.Error("what the reader did is told as a fault of the server")
	}
	s.publish("t", seq(3, 8)...)
	p.wait(`/^Cut for \d+ s: 0 lost, 5 replayed\.$/.test(document.getElementById('try-said').textContent)`)
	p.latest(7)
	contiguous(t, p.seqs(), 0, 8)
	p.click("#freeze")
	p.wait(`document.getElementById('freeze').textContent.startsWith('Frozen') && document.getElementById('freeze').ariaDisabled === 'true'`)
	s.publish("t", seq(8, 12)...)
	p.stays(time.Second, `document.getElementById('total-events').textContent === '8'`)
	p.latest(11)
	p.wait(`document.getElementById('try-said').textContent.startsWith('Frozen for 10 s: 0 lost, 4 came late')`)
	p.state("connected")
	if n := p.streamRequests(); n != 2 {
		t.Errorf("%d requests for a stream, want 2: one before the cut, one after it", n)
	}
}

// A reader that takes nothing is seen to sink, and this page to be where it is.
func TestStreamsView(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-source", "u=http", "-history", "500", "-publish-rate", "0", "-write-timeout", "30s")
	p := openPage(t, s.url())
	p.connect()
	p.run(`void (window.asked = window.fetch, window.fetch = (url, options) => { if (String(url).startsWith('/streams')) window.picture = options.signal; return asked(url, options) })`)
	p.click(`#views [data-view=streams]`)
	p.wait(`document.querySelectorAll('.band').length === 2`)
	p.wait(`document.querySelector('#streams-rows tr[data-own]')?.cells[8].textContent === 'caught up'`)
	// Before anything was published everybody is at the newest event, whole and in sight.
	p.wait(`(() => { const c = document.querySelector('.band[data-band=t] canvas'), { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height)
		const at = []; for (let i = 0; i < data.length; i += 4) if (data[i] === 79 && data[i + 1] === 70 && data[i + 2] === 229) at.push(i / 4 %% c.width)
		return at.length > 100 && Math.min(...at) > c.width / 2 && Math.max(...at) < c.width - 1 })()`)
	// Nothing moves, so nothing is drawn but what the server tells of, a few times a second.
	drawn := eval[int](p, `new Promise((resolve) => { const { prototype } = CanvasRenderingContext2D, clear = prototype.clearRect; let n = 0
		prototype.clearRect = function (...box) { n++; clear.apply(this, box) }; setTimeout(() => { prototype.clearRect = clear; resolve(n) }, 2000) })`)
	if drawn > 40 {
		t.Errorf("two bands in which nothing moves are drawn %d times in two seconds", drawn)
	}
	slow := deaf(t, s, "t")
	p.wait(`document.querySelectorAll('#streams-rows tr:not([data-over])').length === 2`)
	pad := strings.Repeat("x", 20_000)
	for n := 0; n < 400; n += 20 {
		var events []string
		for i := range 20 {
			events = append(events, fmt.Sprintf(`{"seq":%d,"pad":%q}`, n+i, pad))
		}
		s.publish("t", events...)
	}
	p.wait(`[...document.querySelectorAll('#streams-rows tr:not([data-own])')].some((row) => Number(row.cells[6].textContent.replaceAll(',', '')) > 0 && /^has acknowledged nothing for \d/.test(row.cells[8].textContent))`)
	p.wait(`/1 behind/.test(document.querySelector('.band[data-band=t] canvas').getAttribute('aria-label'))`)
	_ = slow.Close()
	p.wait(`document.querySelectorAll('#streams-rows tr:not([data-over])').length === 1`)
	// Its row stays for a while, and tells how it ended.
	p.wait(`/^ended: .*, at least [\d,]+ not sent$/.test(document.querySelector('#streams-rows tr[data-over]')?.cells[8].textContent)`)
	// One that went while nobody looked is gone.
	quiet := deaf(t, s, "t")
	p.wait(`document.querySelectorAll('#streams-rows tr:not([data-over])').length === 2`)
	p.click(`#views [data-view=feed]`)
	_ = quiet.Close()
	s.connections(1)
	p.click(`#views [data-view=streams]`)
	p.wait(`document.querySelectorAll('#streams-rows tr:not([data-over])').length === 1`)
	// What this page does not read is behind, wherever it waits.
	p.click("#freeze")
	s.publish("t", seq(0, 7)...)
	p.wait(`document.querySelector('#streams-rows tr[data-own]').cells[8].textContent === '7 on the way to you'`)
	p.total(407)
	p.wait(`document.querySelector('#streams-rows tr[data-own]').cells[8].textContent === 'caught up'`)
	// Nothing is rendered, and nobody counted, when nobody looks.
	p.click(`#views [data-view=feed]`)
	p.wait(`picture.aborted`)
	p.state("connected")
	s.connections(1)
}

// deaf is a reader that opens a stream and takes nothing of it.
func deaf(t *testing.T, s *server, topic string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(conn, "GET /sse-stream?topic="+topic+"&format=json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestTracesView(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-source", "u=http")
	p := openPage(t, s.url())
	p.connect()
	for n := range 5 {
		s.publish("t", seq(n, n+1)...)
	}
	s.publish("u", seq(0, 1)...)
	p.total(5)
	p.click(`#views [data-view=traces]`)
	p.wait(`document.querySelectorAll('.trace-line').length === 5`)
	p.click(`#traces-form label:has(input[name=all])`)
	p.wait(`document.querySelectorAll('.trace-line').length === 6`)
	p.click(`#traces-form label:has(input[value=slowest])`)
	p.wait(`document.querySelector('#traces-content').dataset.sort === 'slowest'`)
	p.click(`.trace-line`)
	p.wait(`document.querySelector('#trace .waterfall') && document.querySelector('.trace-line[aria-pressed=true]')`)
	p.run(`document.querySelectorAll('#trace .span-row')[1].querySelector('summary').click()`)
	p.wait(`document.querySelector('#trace details[open] .attrs dd').checkVisibility()`)
	if eval[bool](p, `Boolean(document.querySelector('#trace [data-jaeger]'))`) {
		t.Error("a link to Jaeger, and none is running")
	}
	p.run(`document.getElementById('traces-min').append(new Option('none', '1h')); document.getElementById('traces-min').value = '1h'; document.getElementById('traces-min').dispatchEvent(new Event('change', { bubbles: true }))`)
	p.wait(`document.getElementById('traces').dataset.traces === 'none'`)
	// Its own address, as a link from elsewhere has it.
	trace := eval[string](p, `document.querySelector('#trace .journey').dataset.traceId`)
	other := openPage(t, s.url()+"/traces/"+trace)
	other.wait(`document.body.dataset.view === 'traces' && document.querySelector('#trace .waterfall')`)
}

// What comes from outside is text in every view.
func TestHostileNamesInEveryView(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "t=http", "-node", `<img src=x onerror="window.hit=1">`)
	s.start()
	p := openPage(t, s.url())
	p.run(`void (window.hit = 0)`)
	p.connect()
	evil := `<img src=x onerror=\"window.hit=1\">`
	req := fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"%s","type":"%s","subject":"%s","data":{"%s":1,"nested":{"%s":2}}}`, "1", "/x", "evil", "a.b", evil, evil)
	for range 3 {
		s.publishAs("t", "application/cloudevents+json", req)
		req = strings.Replace(req, `"id":"1`, `"id":"11`, 1)
		pause(20 * time.Millisecond)
	}
	p.total(3)
	p.click(`#sse-feed .data-item:last-child`)
	p.wait(`document.querySelector('#journey .waterfall')`)
	for _, view := range []string{"streams", "traces", "feed"} {
		p.click(`#views [data-view=` + view + `]`)
		p.wait(`document.body.dataset.view === %q`, view)
		if view == "traces" {
			p.click(`.trace-line`)
			p.wait(`document.querySelector('#trace .waterfall')`)
		}
		if view == "streams" {
			p.wait(`document.querySelector('#streams-rows tr')`)
		}
		if eval[bool](p, `window.hit !== 0 || Boolean(document.querySelector('main img'))`) {
			t.Errorf("markup from outside became elements in the view %s", view)
		}
	}
}

// publishAs puts a body in, as it is.
func (s *server) publishAs(topic, contentType, body string) {
	s.t.Helper()
	req, _ := http.NewRequest("POST", s.url()+"/publish?topic="+topic, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", contentType)
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		s.t.Fatalf("publish: %s: %s", resp.Status, answer)
	}
}
