package e2e_test

import (
	"fmt"
	"testing"
)

func TestFiveThousandEventsLeaveTheHeapFlat(t *testing.T) {
	s := startServer(t, "-source", "t=http", "-publish-rate", "0")
	p := openPage(t, s.url())
	p.connect()
	next := 0
	// Half one by one, as a stream comes, half in bursts.
	feed := func(n int) {
		t.Helper()
		for end := next + n; next < end; {
			size := 5
			if (next/100)%2 == 1 {
				size = 100
			}
			size = min(size, end-next)
			s.publish("t", seq(next, next+size)...)
			next += size
		}
		p.total(next)
		p.latest(next - 1)
	}
	p.leavesNothing(perEvent(5000), func() { feed(5000) })
	contiguous(t, p.seqs(), next-50, next)
}

// Reconnecting leaves nothing behind either.
func TestReconnectsLeaveTheHeapFlat(t *testing.T) {
	s := startServer(t, "-source", "t=http", "-connect-rate", "0")
	p := openPage(t, s.url())
	const times = 30
	// The browser itself notes some twenty things of each request and each click, up to
	// bounds of its own.
	p.leavesNothing(footprint{bytes: 500 * times, things: 3 * times, natives: 40 * times, nodes: times, listeners: times / 3}, func() {
		for range times {
			p.connect()
			p.click("#disconnect")
			p.state("disconnected")
		}
		s.connections(0)
	})
}

// besides opens a tab for each of n topics: tabs on the same topic share a stream.
func besides(t *testing.T, s *server, n int) []*page {
	t.Helper()
	tabs := []*page{openPage(t, s.url()+"/?topic=t0")}
	for i := 1; i < n; i++ {
		tabs = append(tabs, tabs[0].openBeside(fmt.Sprintf("%s/?topic=t%d", s.url(), i)))
	}
	return tabs
}

// topics returns the flags for n topics, t0 and on.
func topics(n int) (flags []string) {
	for i := range n {
		flags = append(flags, "-source", fmt.Sprintf("t%d=http", i))
	}
	return flags
}

// Over HTTP/1.1 a browser opens six connections to a host. The seventh tab, on a
// seventh topic, waits and says why.
func TestSeventhTabIsToldWhyItWaits(t *testing.T) {
	t.Parallel()
	s := startServer(t, topics(7)...)
	tabs := besides(t, s, 7)
	for _, tab := range tabs[:6] {
		tab.connect()
	}
	s.connections(6)
	last := tabs[6]
	last.click("#connect")
	last.state("connecting")
	last.visible("#slow-banner")
	if text := last.text("#slow-banner"); text == "" {
		t.Error("the hint has no text")
	}
	tabs[2].click("#disconnect")
	last.state("connected")
	last.hidden("#slow-banner")
	for i, tab := range tabs {
		if i != 2 {
			s.publish(fmt.Sprintf("t%d", i), seq(0, 1)...)
			tab.latest(0)
		}
	}
}

// Over HTTP/2 there is no such limit.
func TestHTTP2OverTLS(t *testing.T) {
	t.Parallel()
	s := startServer(t, append(topics(8), "-retry", "400ms", "-tls-cert", cert.File, "-tls-key", cert.KeyFile)...)
	tabs := besides(t, s, 8)
	publish := func(from, to int) {
		for i := range tabs {
			s.publish(fmt.Sprintf("t%d", i), seq(from, to)...)
		}
	}
	for _, tab := range tabs {
		tab.expect(broken, `net::ERR_(HTTP2_PROTOCOL_ERROR|HTTP2_PING_FAILED|CONNECTION_CLOSED)`)
		tab.connect()
	}
	p := tabs[0]
	if protocol := eval[string](p, `performance.getEntriesByType('navigation')[0].nextHopProtocol`); protocol != "h2" {
		t.Fatalf("the page came over %q, want h2", protocol)
	}
	s.connections(len(tabs))
	publish(0, 3)
	for _, tab := range tabs {
		tab.latest(2)
	}
	s.kill()
	for _, tab := range tabs {
		tab.wait(`document.body.dataset.state !== 'connected'`)
	}
	s.start()
	for _, tab := range tabs {
		tab.state("connected")
		tab.wait(`document.querySelectorAll('.feed-note[data-note=gap]').length === 1`)
	}
	publish(3, 5)
	for _, tab := range tabs {
		tab.latest(4)
		contiguous(t, tab.seqs(), 0, 5)
	}
	p.click("#disconnect")
	p.state("disconnected")
	s.connections(len(tabs) - 1)
}

// A write deadline that was left over would reset an HTTP/2 stream that is
// idle for longer than the write timeout.
func TestIdleHTTP2StreamStaysOpen(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-write-timeout", "1s", "-heartbeat", "3s", "-tls-cert", cert.File, "-tls-key", cert.KeyFile)
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.wait(`document.getElementById('connection-time').textContent >= '00:05'`)
	s.publish("t", seq(1, 2)...)
	p.latest(1)
	if n := p.streamRequests(); n != 1 {
		t.Errorf("%d requests for a stream, want the one that stayed open", n)
	}
}
