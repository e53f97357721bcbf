package e2e_test

import (
	"context"
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
