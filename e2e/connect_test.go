package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

func TestNothingConnectsBeforeConnect(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPage(t, s.url())
	p.wait(`document.getElementById('connect').checkVisibility() && window.htmx`)
	p.stays(time.Second, `document.body.dataset.state === 'disconnected' && document.querySelectorAll('#sse-feed > *').length === 0`)
	if n := p.streamRequests(); n != 0 {
		t.Errorf("the page asked for a stream %d times before anybody pressed Connect", n)
	}
	if n := s.health().ActiveConnections; n != 0 {
		t.Errorf("the server has %d streams open before anybody pressed Connect", n)
	}
	p.says("#connection-status", "Disconnected")
}

func TestConnectShowsEvents(t *testing.T) {
	t.Parallel()
	s := startServer(t) // the sources that a user gets without any flag
	p := openPage(t, s.url())
	p.connect()
	p.says("#connection-status", "Connected")
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length >= 2`)
	p.wait(`['temperature', 'humidity', 'pressure'].every((m) => document.querySelector('[data-chart="' + m + '"] canvas'))`)
	p.wait(`document.getElementById('connection-time').textContent >= '00:01'`)
	type reading struct{ Temperature, Humidity, Pressure float64 }
	r := eval[reading](p, `(() => { const v = (m) => Number(document.querySelector('.data-item [data-measure=' + m + ']').dataset.value);
		return { temperature: v('temperature'), humidity: v('humidity'), pressure: v('pressure') } })()`)
	if r.Temperature < 18 || r.Temperature > 28 || r.Humidity < 30 || r.Humidity > 80 || r.Pressure < 1000 || r.Pressure > 1020 {
		t.Errorf("a reading out of the sensor's range: %+v", r)
	}
	// What the server knows of this very connection.
	id := p.text("#stream-connection")
	h := s.health()
	d, known := h.ConnectionDetails[id]
	if !known || h.ActiveConnections != 1 {
		t.Fatalf("the page says that it is connection %q, the server knows %+v", id, h)
	}
	if d.Topic != "sensor" || d.UptimeSeconds == nil || d.LastPingSecondsAgo == nil || d.ErrorCount == nil || d.LagEvents == nil {
		t.Errorf("details are not complete: %+v", d)
	}
}

func TestDisconnectEndsTheStream(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.connections(1)
	s.publish("t", seq(0, 5)...)
	p.total(5)
	p.click("#disconnect")
	p.state("disconnected")
	s.connections(0)
	s.publish("t", seq(5, 10)...)
	p.stays(time.Second, `document.body.dataset.state === 'disconnected' && document.getElementById('total-events').textContent === '5'`)
	contiguous(t, p.seqs(), 0, 5)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want 1", n)
	}
	// Connecting again goes on where the page left off.
	p.connect()
	p.total(10)
	contiguous(t, p.seqs(), 0, 10)
}

func TestFeedKeepsTheNewestFifty(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	p.run(`void (window.most = 0, new MutationObserver(() => queueMicrotask(() => {
		most = Math.max(most, document.querySelectorAll('#sse-feed .data-item').length) })).observe(document.getElementById('sse-feed'), { childList: true }))`)
	next := 0
	for _, n := range []int{49, 1, 1, 1, 30, 200, 7, 1} {
		s.publish("t", seq(next, next+n)...)
		next += n
		p.latest(next - 1)
		contiguous(t, p.seqs(), max(0, next-50), next)
	}
	p.total(next)
	if most := eval[int](p, `most`); most > 50 {
		t.Errorf("the feed held %d events at one time", most)
	}
	p.says("#feed-count", fmt.Sprintf("newest 50 of %d that came here", next))
}

func TestTopicSwitch(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "one=http", "-source", "two=http")
	p := openPage(t, s.url())
	s.publish("two", `{"other":1}`) // before the page asks for that topic
	p.connect()
	s.publish("one", seq(0, 3)...)
	p.total(3)
	p.choose("two")
	p.state("connected")
	// What had happened there is shown, and marked.
	p.total(1)
	p.wait(`document.querySelectorAll('#sse-feed > .data-item').length === 1 && document.querySelector('#sse-feed > .data-item').dataset.replayed === ''`)
	// One stream, and it is the new topic's.
	eventually(t, func() bool {
		h := s.health()
		for _, d := range h.ConnectionDetails {
			if d.Topic != "two" {
				return false
			}
		}
		return h.ActiveConnections == 1
	}, func() string { return fmt.Sprintf("open streams: %+v", s.health().ConnectionDetails) })
	s.publish("one", seq(3, 4)...)
	s.publish("two", `{"other":2}`)
	p.total(2)
	if got := p.text(`#sse-feed .data-item:last-child [data-measure=other] b`); got != "2" {
		t.Errorf("the feed shows %q, want the event of the other topic", got)
	}
	// The address brings back the topic, and the tab that it wanted a stream.
	p.reload()
	p.wait(`document.querySelector('#topics input[value=two]')?.checked && document.getElementById('theme').title`)
	p.state("connected")
	p.click("#disconnect")
	p.state("disconnected")
	s.connections(0)
	// A choice while disconnected connects nothing.
	p.choose("one")
	p.stays(300*time.Millisecond, `document.body.dataset.state === 'disconnected'`)
	s.connections(0)
	p.connect()
	s.publish("one", seq(4, 5)...)
	p.latest(4)
}

// A browser that restores what was chosen does so before the page's scripts
// run, and a quick reader may choose then, too.
func TestTopicChosenBeforeTheScripts(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "one=http", "-source", "two=http")
	p := openPage(t, s.url())
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
			Source: `document.addEventListener('readystatechange', () => {
				if (document.readyState === 'interactive') document.querySelector('#topics input[value=two]').checked = true })`,
		})
		return err
	}), chromedp.Navigate(s.url()))
	p.connect()
	s.publish("one", seq(0, 1)...)
	s.publish("two", seq(1, 2)...)
	p.latest(1)
	p.total(1)
}
