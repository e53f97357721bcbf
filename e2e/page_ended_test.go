package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// A topic that has ended is not asked for again, is shown as what it is, and what it held
// can be seen.
func TestCloseEndsItForGood(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "stdin", "-retry", "5ms")
	stdin, lines := pipe(t)
	s.stdin = stdin
	s.start()
	p := openPage(t, s.url())
	p.connect()
	fmt.Fprintln(lines, "first line")
	fmt.Fprint(lines, "a last line without an end")
	_ = lines.Close()
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'closed' && document.getElementById('notice-banner').checkVisibility()`)
	p.state("disconnected")
	p.total(2)
	if got := eval[string](p, `[...document.querySelectorAll('#sse-feed .item-text')].at(-1).textContent`); got != "a last line without an end" {
		t.Errorf("the last event is %q", got)
	}
	p.wait(`document.querySelector('#sse-feed > .feed-note[data-note=close]:last-child')`)
	s.connections(0)
	p.stays(time.Second, `document.body.dataset.state === 'disconnected' && !document.getElementById('error-banner').checkVisibility()`)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream that has ended, want 1", n)
	}
	// That it was on screen is reported, though the stream was over by then.
	p.click(`#sse-feed .data-item:has(+ .feed-note)`)
	p.wait(`document.querySelector('#journey .journey-total')?.textContent.trim().endsWith('from stdin to screen')`)
	p.click("#journey-close")
	// Who asks again is told that there is nothing more.
	p.click("#connect")
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'nothing'`)
	p.state("disconnected")
	// It is shown as what it is, and what cannot work says why.
	ended := func(p *page) {
		t.Helper()
		p.wait(`document.querySelector('#topics [data-ended] input').value === 'stdin' && document.querySelector('#topics [data-ended]').title === 'stdin has ended: the source has ended'`)
		p.wait(`document.getElementById('publish').ariaDisabled === 'true' && document.getElementById('try-said').textContent === '“stdin” has ended: the source has ended. It takes no more events.'`)
	}
	ended(p)
	// What it held can be seen again, and by others.
	p.click("#clear")
	p.wait(`document.getElementById('feed-empty').textContent.includes('“stdin” has ended: nothing more comes. Press Connect')`)
	p.click("#connect")
	p.wait(`document.querySelectorAll('#sse-feed .data-item').length === 2`)
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'closed'`)
	p.says("#stream-resumed", "not yet")
	// To this page it came twice, and to no other reader.
	p.click(`#sse-feed .data-item:has(+ .feed-note)`)
	p.wait(`document.querySelector('#journey .journey-total')?.textContent.trim().endsWith('from stdin to screen')`)
	p.click("#journey-close")
	other := openPage(t, s.url())
	ended(other)
	other.click("#connect")
	other.wait(`document.querySelectorAll('#sse-feed .data-item').length === 2`)
	other.click(`#views [data-view=streams]`)
	other.wait(`document.querySelector('.band-facts')?.textContent.startsWith('has ended: the source has ended · ')`)
}
