package e2e_test

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestServerKilledAndRestarted(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "400ms")
	p := openPage(t, s.url())
	p.expect(broken)
	p.connect()
	for round := range 4 {
		s.publish("t", seq(round, round+1)...)
		p.latest(round)
		s.kill()
		p.wait(`document.body.dataset.state !== 'connected' && document.getElementById('error-banner').checkVisibility()`)
		s.start()
		p.state("connected")
		p.hidden("#error-banner")
		// The new process lost what the old one had, and says so.
		p.wait(`document.querySelectorAll('#sse-feed .feed-note[data-note=gap][data-reason=restart]').length === %d`, round+1)
	}
	s.publish("t", seq(4, 5)...)
	p.latest(4)
	contiguous(t, p.seqs(), 0, 5)
	p.says("#stream-gaps", "4")
	p.says("#events-per-minute", "5+") // nobody knows what else there was
	// Each gap stands between the event before it and the one after it.
	order := eval[[]string](p, `[...document.querySelectorAll('#sse-feed > *')].map((e) => e.dataset.note ?? e.querySelector('[data-measure=seq]').dataset.value)`)
	if want := []string{"0", "gap", "1", "gap", "2", "gap", "3", "gap", "4"}; !slices.Equal(order, want) {
		t.Errorf("the feed shows %v, want %v", order, want)
	}
	if text := p.text(`.feed-note[data-note=gap] span`); text == "" {
		t.Error("the gap has no text")
	}
}

// publisher puts numbered events in, one after another, until it is stopped.
// It goes to the server directly: what the page sees is cut, what the log sees
// is not.
type publisher struct {
	stop chan struct{}
	done sync.WaitGroup
	next int
	err  error
}

func startPublisher(s *server, every time.Duration) *publisher {
	pub := &publisher{stop: make(chan struct{})}
	pub.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-pub.stop:
				return
			case <-tick.C:
			}
			if _, pub.err = s.tryPublish("t", seq(pub.next, pub.next+1)...); pub.err != nil {
				return
			}
			pub.next++
		}
	})
	return pub
}

// finish stops it and returns how many events it put in.
func (pub *publisher) finish(t *testing.T) int {
	t.Helper()
	close(pub.stop)
	pub.done.Wait()
	if pub.err != nil {
		t.Fatal(pub.err)
	}
	return pub.next
}

func TestNoEventIsLostOrRepeatedAcrossCuts(t *testing.T) {
	t.Parallel()
	// Cuts of every kind: between events, in the middle of an ID, of the data,
	// of the empty line that ends an event, and in an orderly way.
	inClear := []func(*proxy){
		func(via *proxy) { via.cut() },
		func(via *proxy) { via.cutBehind("\nid: ", 6) },
		func(via *proxy) { via.cutBehind(`data-measure=`, 3) },
		func(via *proxy) { via.hangUp() },
		func(via *proxy) { via.cutBehind("</div>\n", 0) },
		func(via *proxy) { via.cutBehind("</div>\n", len("id: 1795741112378-0\n")) },
		func(via *proxy) { via.cutBehind("</div>\n", len("id: 1795741112378-0\n\n")) },
		func(via *proxy) { via.cutBehind("event: connected", 4); via.cut() },
	}
	// What is compressed has no marks to go by.
	anywhere := []func(*proxy){
		func(via *proxy) { via.cut() },
		func(via *proxy) { via.cutBehind("", 1) },
		func(via *proxy) { via.cutBehind("", 150) },
		func(via *proxy) { via.cutBehind("", 777) },
		func(via *proxy) { via.hangUp() },
	}
	for name, c := range map[string]struct {
		flags []string
		cuts  []func(*proxy)
	}{
		"auto":       {[]string{"-transport", "auto", "-compress=false"}, inClear},
		"net-http":   {[]string{"-transport", "net/http", "-compress=false"}, inClear},
		"compressed": {[]string{"-compress"}, anywhere},
	} {
		t.Run(name, func(t *testing.T) { acrossCuts(t, c.flags, c.cuts) })
	}
}

func acrossCuts(t *testing.T, flags []string, cuts []func(*proxy)) {
	s := startServer(t, append(flags, "-source", "t=http", "-retry", "50ms", "-publish-rate", "0")...)
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken, `net::ERR_CONTENT_DECODING_FAILED`)
	p.connect()
	p.record()
	pub := startPublisher(s, 40*time.Millisecond)
	p.wait(`recorded.length >= 5`)
	for i, cut := range cuts {
		before := eval[int](p, `recorded.length`)
		requests := p.streamRequests()
		cut(via)
		// A person at the button: the waits between the page's own attempts
		// would grow with every cut, and the backlog beyond what a feed holds.
		eventually(t, func() bool {
			p.retry()
			return p.streamRequests() > requests
		}, func() string { return fmt.Sprintf("cut %d: the page did not come back", i) })
		p.state("connected")
		p.wait(`recorded.length > %d + 3`, before)
	}
	n := pub.finish(t)
	p.wait(`recorded.at(-1) === %d`, n-1)
	contiguous(t, eval[[]int](p, `recorded`), 0, n)
	ids := eval[[]string](p, `recordedIds`)
	if unique := len(slices.Compact(slices.Sorted(slices.Values(ids)))); unique != n {
		t.Errorf("%d different IDs for %d events", unique, n)
	}
	p.total(n)
	p.wait(`document.getElementById('stream-gaps').textContent === '0' && document.querySelectorAll('.feed-note').length === 0`)
	p.wait(`document.getElementById('stream-resumed').textContent.includes('nothing missed')`)
}

// Who is cut off before the first event has no ID to resume from, but knows
// where the stream began.
func TestNothingIsLostBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "50ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	p.wait(`document.getElementById('stream-connection').textContent`)
	via.down()
	s.publish("t", seq(0, 3)...)
	via.up()
	p.latest(2)
	contiguous(t, p.seqs(), 0, 3)
	p.total(3)
}

// A log on disk survives what the process does not: no gap, nothing lost,
// nothing twice.
func TestServerKilledWithTheLogOnDisk(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "200ms", "-data", t.TempDir())
	p := openPage(t, s.url())
	p.expect(broken)
	p.connect()
	p.record()
	next := 0
	for range 3 {
		s.publish("t", seq(next, next+5)...)
		next += 5
		p.latest(next - 1)
		s.kill()
		p.wait(`document.body.dataset.state !== 'connected'`)
		s.start()
		s.publish("t", seq(next, next+5)...) // as likely before the page is back as after
		next += 5
		p.state("connected")
		p.latest(next - 1)
	}
	contiguous(t, eval[[]int](p, `recorded`), 0, next)
	p.total(next)
	p.wait(`document.getElementById('stream-gaps').textContent === '0'`)
}

// The Streams view finds out that the server is back, and the page does not go on saying
// that it cannot be reached, while it waits for its own next try.
func TestOneViewThatFindsTheServerTellsTheOther(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "5m")
	p := openPage(t, s.url())
	p.expect(broken)
	p.connect()
	p.run(`{ const later = setTimeout; window.setTimeout = (f, ms, ...rest) => (ms > 5000 ? 0 : later(f, ms, ...rest)) }`) // no next try comes by itself
	s.publish("t", seq(0, 1)...)
	p.total(1)
	s.kill()
	p.wait(`document.getElementById('retry-countdown').textContent.startsWith('Next try in ')`)
	s.start()
	p.click(`#views [data-view=streams]`)
	p.state("connected")
	p.hidden("#error-banner")
}

// A shutdown is not the end of the topic: the page comes back to the next
// server. The same goes for a stream that has reached its greatest age.
func TestOrderlyEndsAreNoClose(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "400ms", "-drain", "200ms", "-data", t.TempDir(), "-lifetime", "2s")
	p := openPage(t, s.url())
	p.expect(broken, status(503))
	p.connect()
	p.record()
	s.publish("t", seq(0, 3)...)
	p.latest(2)
	requests := p.streamRequests()
	eventually(t, func() bool { return p.streamRequests() > requests }, func() string { return "the stream was not renewed" })
	p.state("connected")
	s.publish("t", seq(3, 6)...)
	p.latest(5)

	s.signal(syscall.SIGTERM)
	if status := s.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	p.wait(`document.body.dataset.state !== 'connected'`)
	s.start()
	s.publish("t", seq(6, 9)...)
	p.state("connected")
	p.latest(8)
	contiguous(t, eval[[]int](p, `recorded`), 0, 9)
	if n := eval[int](p, `document.querySelectorAll('.feed-note').length`); n != 0 {
		t.Errorf("%d notes in the feed, want none: nothing was lost and nothing has ended", n)
	}
}

// A backlog that is far larger than the feed goes through the page's short cut
// for bursts: it may not show all of it, but it counts each event once.
func TestBacklogIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "50ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	next := 1
	for range 3 {
		via.down()
		s.publish("t", seq(next, next+1000)...)
		next += 1000
		via.up()
		p.state("connected")
		p.latest(next - 1)
		p.total(next)
		contiguous(t, p.seqs(), next-50, next)
	}
}

// The log keeps fewer events than the page missed: it is told.
func TestExpiredEventsAreAGap(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "50ms", "-history", "40")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.connect()
	ids := s.publish("t", seq(0, 1)...)
	p.latest(0)
	via.down()
	for n := 1; n < 101; n += 2 { // by and by: one burst would overrun the log itself
		ids = append(ids, s.publish("t", seq(n, n+2)...)...)
	}
	via.up()
	p.latest(100)
	contiguous(t, p.seqs()[1:], 61, 101)
	p.total(41)
	type gap struct{ From, To, Reason string }
	g := eval[gap](p, `({ ...document.querySelector('.feed-note[data-note=gap]').dataset })`)
	if want := (gap{ids[0], ids[60], "expired"}); g != want {
		t.Errorf("the gap is %+v, want %+v", g, want)
	}
	p.state("connected")
}

func TestOfflineAndOnline(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "50ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken, offline)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)

	// To be offline is a hint, not a cut: the stream that is open goes on.
	p.network(false)
	p.wait(`document.getElementById('network-status').dataset.network === 'offline'`)
	s.publish("t", seq(1, 2)...)
	p.latest(1)
	p.state("connected")

	// The connection breaks, and every attempt fails: the page does not give up.
	via.cut()
	p.state("error")
	s.publish("t", seq(2, 5)...)
	p.wait(`document.getElementById('retry-countdown').textContent.includes('(8 of 8), or when the network is back')`)
	p.says("#network-status", "Network offline")

	p.network(true)
	p.state("connected")
	p.latest(4)
	contiguous(t, p.seqs(), 0, 5)
	p.wait(`document.getElementById('network-status').dataset.network === 'online'`)
	s.connections(1)
}

func TestWatchdogNoticesAFrozenServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "500ms", "-heartbeat", "1s")
	p := openPage(t, s.url())
	p.expect(broken)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	// Silence is no alarm as long as there are pings.
	p.stays(4*time.Second, `document.body.dataset.state === 'connected'`)
	if n := p.streamRequests(); n != 1 {
		t.Fatalf("%d requests for a stream, want 1", n)
	}
	s.freeze()
	p.wait(`document.getElementById('error-message').textContent.startsWith('Nothing was heard from the server')`)
	s.thaw()
	p.state("connected")
	s.publish("t", seq(1, 2)...)
	p.latest(1)
	contiguous(t, p.seqs(), 0, 2)
	s.connections(1)
}

// A connection that is half open is worse than one that is cut: nothing
// arrives, and nobody says so.
func TestSlowConnectIsExplained(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	via.holdNew()
	via.cut()
	p.click("#connect")
	p.state("connecting")
	p.says("#connection-status", "Connecting...")
	p.visible("#slow-banner")
	via.release()
	p.state("connected")
	p.hidden("#slow-banner")
}
