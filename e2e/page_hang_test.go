package e2e_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A server that hangs keeps its streams open. The picture says of when it is, until the
// server goes on.
func TestStreamsViewOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-publish-rate", "0")
	p := openPage(t, s.url()+"/streams")
	p.wait(`document.querySelectorAll('.band').length === 1 && !document.getElementById('bands').hasAttribute('data-stale')`)
	s.freeze()
	p.wait(`document.getElementById('bands').hasAttribute('data-stale') && document.getElementById('bands-empty').checkVisibility() && document.getElementById('bands-empty').textContent.startsWith('As it was at ')`)
	s.thaw()
	p.wait(`!document.getElementById('bands').hasAttribute('data-stale') && !document.getElementById('bands-empty').checkVisibility()`)
}

// Nor does the head of the page call a stream connected, in any tab, whose heartbeat is
// overdue. The page says so before it takes the line for dead.
func TestServerThatHangsIsSilent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-publish-rate", "0", "-heartbeat", "8s")
	p := openPage(t, s.url())
	p.connect()
	beside := p.openBeside(s.url())
	beside.connect()
	s.freeze()
	for _, tab := range []*page{p, beside} {
		tab.wait(`document.getElementById('connection-status').textContent === 'Silent' && /^nothing heard for \d+ s$/.test(document.getElementById('connection-time').textContent)`)
		tab.state("connected")
	}
	s.thaw()
	for _, tab := range []*page{p, beside} {
		tab.says("#connection-status", "Connected")
	}
}

// The legend of the picture tells its marks apart in forced colours, too, as the picture does.
func TestStreamsLegendInForcedColors(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url()+"/streams")
	for _, forced := range []string{"none", "active"} {
		p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "forced-colors", Value: forced}}})
			return err
		}))
		p.wait(`new Set([...document.querySelectorAll('#bands-legend .key')].map((key) => { const { backgroundColor, backgroundImage } = getComputedStyle(key); return backgroundColor + backgroundImage })).size === 5`)
	}
}

// On a phone a stream that takes nothing says so on a line of its own: beside its name the
// words broke the names of the figures below.
func TestStreamThatTakesNothingOnAPhone(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-publish-rate", "0", "-write-timeout", "60s")
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(2048); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /sse-stream?topic=t&format=json HTTP/1.1\r\nHost: %s\r\n\r\n", s.addr)
	s.connections(1)
	p := openPage(t, s.url()+"/streams")
	p.do(chromedp.EmulateViewport(360, 780))
	for range 20 { // more than the network holds
		s.publish("t", seq(0, 20)...)
		s.publish("t", `{"long":"`+strings.Repeat("x", 200_000)+`"}`)
	}
	p.wait(`document.querySelector('#streams-rows td[data-level=bad]:nth-child(9)')`)
	p.wait(`(() => { const cells = document.querySelector('#streams-rows td[data-level=bad]:nth-child(9)').parentElement.cells;
		const at = (i) => cells[i].getBoundingClientRect();
		return at(8).left === at(1).left && at(8).top >= at(1).bottom && at(7).height === at(4).height && cells[7].scrollWidth <= cells[7].clientWidth })()`)
}
