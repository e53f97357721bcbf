package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Tabs on one topic are one stream, and go on when the first one goes.
func TestTabsShareOneStream(t *testing.T) {
	s := startServer(t, "-source", "t=http")
	shareOneStream(t, s, s.url(), 8)
}

// Web Locks are for https and localhost. By another name, over plain HTTP, tabs
// agree without them.
func TestTabsShareOneStreamWithoutLocks(t *testing.T) {
	s := startServer(t, "-source", "t=http", "-host", "evil.test")
	_, port, _ := strings.Cut(s.addr, ":")
	tabs := shareOneStream(t, s, "http://evil.test:"+port, 4)
	if eval[bool](tabs[0], `Boolean(navigator.locks)`) {
		t.Fatal("this page has Web Locks")
	}
	// The tab that leads is closed, and another one goes on.
	for _, p := range tabs[:3] {
		p.run(`document.getElementById('connect').click()`)
		p.state("connected")
	}
	s.connections(1)
	tabs[0].do(chromedp.Navigate("about:blank"))
	s.publish("t", seq(6, 9)...)
	for _, p := range tabs[1:3] {
		p.state("connected")
		p.latest(8)
		contiguous(t, p.seqs(), 0, 9)
	}
	s.connections(1)
}

func shareOneStream(t *testing.T, s *server, url string, n int) []*page {
	t.Helper()
	first := openPage(t, url)
	tabs := []*page{first}
	for range n - 1 {
		tabs = append(tabs, first.openBeside(url))
	}
	for _, p := range tabs {
		p.expect("Cross-Origin-Opener-Policy") // which means nothing to a browser over plain HTTP
		p.run(`document.getElementById('connect').click()`)
		p.state("connected")
	}
	s.connections(1)
	s.publish("t", seq(0, 3)...)
	for _, p := range tabs {
		p.latest(2)
		p.total(3)
	}
	tabs[n-1].wait(`document.getElementById('stream-tabs').textContent === '%d tabs'`, n)
	// The one that leads goes; the next one goes on where it was.
	first.run(`document.getElementById('disconnect').click()`)
	first.state("disconnected")
	s.publish("t", seq(3, 6)...)
	for _, p := range tabs[1:] {
		p.state("connected")
		p.latest(5)
		contiguous(t, p.seqs(), 0, 6)
		p.total(6)
	}
	s.connections(1)
	// One that comes back has what it missed, and no more.
	first.run(`document.getElementById('connect').click()`)
	first.latest(5)
	contiguous(t, first.seqs(), 0, 6)
	first.wait(`[...document.querySelectorAll('#sse-feed .data-item')].slice(3).every((row) => row.dataset.replayed !== undefined)`)
	s.connections(1)
	for _, p := range tabs {
		p.run(`document.getElementById('disconnect').click()`)
	}
	s.connections(0)
	return tabs
}

// A tab that was loaded again goes on behind its last event. Another one that joins it
// has what came before all the same.
func TestTabThatJoinsAfterAReload(t *testing.T) {
	s := startServer(t, "-source", "t=http")
	first := openPage(t, s.url())
	first.connect()
	s.publish("t", seq(0, 3)...)
	first.latest(2)
	first.reload()
	first.state("connected")
	second := first.openBeside(s.url())
	second.connect()
	second.latest(2)
	s.publish("t", seq(3, 5)...)
	for _, p := range []*page{first, second} {
		p.latest(4)
		contiguous(t, p.seqs(), 0, 5)
		p.total(5)
	}
	second.says("#stream-tabs", "2 tabs")
	s.connections(1)
}

// A tab that goes elsewhere is not counted any more, whether it led or not.
func TestTabsThatAreGoneAreNotCounted(t *testing.T) {
	s := startServer(t, "-source", "t=http")
	first := openPage(t, s.url())
	second, third := first.openBeside(s.url()), first.openBeside(s.url())
	for _, p := range []*page{first, second, third} {
		p.connect()
	}
	second.says("#stream-tabs", "3 tabs")
	third.do(chromedp.Navigate("about:blank"))
	first.says("#stream-tabs", "2 tabs")
	second.says("#stream-tabs", "2 tabs")
	first.do(chromedp.Navigate("about:blank"))
	second.hidden("#stream-tabs")
	second.state("connected")
	s.connections(1)
}
