package e2e_test

import (
	"math"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const observe = `void (window.seen = { lcp: 0, cls: 0, long: [] },
	new PerformanceObserver((list) => { for (const e of list.getEntries()) seen.lcp = e.startTime }).observe({ type: 'largest-contentful-paint', buffered: true }),
	new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) seen.cls += e.value }).observe({ type: 'layout-shift', buffered: true }),
	new PerformanceObserver((list) => { for (const e of list.getEntries()) seen.long.push(Math.round(e.duration)) }).observe({ type: 'longtask', buffered: true }))`

// The first load is small, quick and quiet: nothing moves under a reader.
func TestBudgetOfTheFirstLoad(t *testing.T) {
	s := startServer(t, "-source", "sensor", "-source", "t=http")
	best := 1e9
	for range 5 { // on a machine that others use too
		p := openPage(t, "about:blank")
		var mu sync.Mutex
		requests, bytes := 0, 0.0
		if err := chromedp.Listen(p.ctx, func(ev any) {
			mu.Lock()
			defer mu.Unlock()
			switch ev := ev.(type) {
			case *network.EventLoadingFinished:
				requests++
				bytes += ev.EncodedDataLength
			}
		}); err != nil {
			t.Fatal(err)
		}
		p.do(chromedp.Navigate(s.url()))
		p.run(observe)
		p.wait(`document.getElementById('theme').title && performance.now() > 1200`)
		lcp := eval[float64](p, `seen.lcp`)
		best = min(best, lcp)
		mu.Lock()
		n, size := requests, bytes
		mu.Unlock()
		t.Logf("%d requests, %.1f kB, LCP %.0f ms", n, size/1000, lcp)
		if n > 20 || size > 100_000 || n < 6 {
			t.Errorf("the first load is %d requests of %.1f kB, want at most 20 of 100", n, size/1000)
		}
		p.connect()
		p.wait(`document.querySelectorAll('#sse-feed .data-item').length >= 4 && document.querySelector('#charts canvas')`)
		if cls := eval[float64](p, `seen.cls`); cls > 0.02 {
			t.Errorf("what is on screen moves: CLS %.3f", cls)
		}
	}
	if best > 300 {
		t.Errorf("the largest paint comes after %.0f ms at best, want 300", best)
	}
}

// Ten thousand events neither hold the page up nor stay in its memory.
func TestTenThousandEvents(t *testing.T) {
	s := startServer(t, "-source", "t=http", "-publish-rate", "0", "-history", "20000")
	p := openPage(t, s.url())
	p.connect()
	heap := func() float64 { return p.footprint().heap } // after a collection
	next := 0
	publish := func(n int) {
		for end := next + n; next < end; next += 200 {
			s.publish("t", seq(next, next+200)...)
		}
		p.total(next)
		p.latest(next - 1)
	}
	publish(2000) // what is compiled and cached is not counted
	before := heap()
	p.run(observe)
	// Others use this machine, and hold the page up too: the best of three rounds tells.
	worst := math.Inf(1)
	for round := 0; round < 3 && worst > 50; round++ {
		p.run(`seen.long.length = 0`)
		publish(10_000)
		long := 0.0
		for _, ms := range eval[[]float64](p, `seen.long`) {
			long = max(long, ms)
		}
		worst = min(worst, long)
	}
	after := heap()
	t.Logf("the longest task takes %.0f ms (0: less than 50); heap %.1f MB, then %.1f MB", worst, before/1e6, after/1e6)
	if worst > 100 {
		t.Errorf("in ten thousand events, a task of %.0f ms", worst)
	}
	if after > before+3e6 {
		t.Errorf("the heap grew from %.1f to %.1f MB", before/1e6, after/1e6)
	}
	contiguous(t, p.seqs(), next-50, next)
}

// Views and topics that are switched to and fro leave nothing behind.
func TestSwitchingLeaksNothing(t *testing.T) {
	s := startServer(t, "-source", "one=http", "-source", "two=http", "-connect-rate", "0")
	p := openPage(t, s.url())
	p.connect()
	p.run(`void (window.nodes = () => document.querySelectorAll('*').length)`)
	before := eval[int](p, `nodes()`)
	for i := range 100 {
		topic := []string{"two", "one"}[i%2]
		p.run(`document.querySelector('#topics input[value=%s]').click()`, topic)
		p.run(`document.querySelector('#views [data-view=%s]').click()`, []string{"streams", "traces", "feed"}[i%3])
		p.state("connected")
	}
	p.run(`document.querySelector('#views [data-view=feed]').click()`)
	p.state("connected")
	s.connections(1)
	s.publish("one", seq(0, 1)...)
	p.latest(0)
	p.total(1)
	if after := eval[int](p, `nodes()`); after > before+60 {
		t.Errorf("%d elements at first, %d after a hundred switches", before, after)
	}
}
