package e2e_test

import (
	"testing"
)

// What is said of all events is of all: of those, too, that were never drawn, or wait while
// the reader looks elsewhere.
func TestEveryLiveEventIsMeasured(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	p.run(`{
		const feed = document.getElementById('sse-feed');
		window.everInView = new Set();
		const watch = new IntersectionObserver((rows) => rows.forEach((row) => row.isIntersecting && window.everInView.add(row.target.dataset.id)), { root: feed });
		new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach((e) => e.dataset?.id && watch.observe(e)))).observe(feed, { childList: true });
	}`)
	s.publish("t", seq(0, 300)...)
	p.total(300)
	p.wait(`/ of 300$/.test(document.getElementById('latency-more').textContent) && /^\d+ unseen$/.test(document.getElementById('latency-unseen').textContent)`)
	p.says("#feed-count", "newest 50 of 300 that came here")
	// A row that was never in the view was not on screen.
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item')].every((e) => window.everInView.has(e.dataset.id) || e.dataset.unseen !== undefined)`)
	p.click("#follow")
	p.run(`document.getElementById('sse-feed').scrollTop = 0`)
	s.publish("t", seq(300, 380)...)
	p.total(380)
	p.wait(`/ of 380$/.test(document.getElementById('latency-more').textContent) && /^\d+ unseen$/.test(document.getElementById('latency-unseen').textContent)`)
	p.wait(`document.querySelectorAll('#sse-feed .data-item')[49].textContent.includes('299')`)
	p.says("#feed-count", "50 of 380 that came here, not the newest")
	p.click("#jump")
	p.latest(379)
	p.says("#feed-count", "newest 50 of 380 that came here")
	// A row that came while nobody could see it says that it came.
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item')].every((e) => e.dataset.unseen !== undefined && e.querySelector('.item-latency').textContent.startsWith('came in '))`)
	p.click(`#views [data-view=streams]`)
	s.publish("t", seq(380, 381)...)
	p.total(381)
	p.click(`#views [data-view=feed]`)
	p.latest(380)
	p.wait(`/^came in [\d.]+ m?s$/.test(document.querySelector('#sse-feed .data-item:last-child .item-latency').textContent)`)
	s.publish("t", seq(381, 382)...)
	p.latest(381)
	p.wait(`/^[\d.]+ m?s$/.test(document.querySelector('#sse-feed .data-item:last-child .item-latency').textContent)`)
	// One that the filter hides is on no screen.
	p.run(`document.getElementById('filter-text').value = 'seq 381'; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
	s.publish("t", seq(382, 383)...)
	p.wait(`document.querySelector('#sse-feed .data-item:last-child').dataset.unseen === ''`)
}

// While the page does not read, there may have been more in the last minute than it knows.
func TestLastMinuteIsAPartWhileThePageDoesNotRead(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "50ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	// The server has been started just now, and knows of no more than since then: to this
	// page its streams begin earlier.
	p.run(`{
		const ask = window.fetch;
		window.fetch = async (...question) => {
			const answer = await ask(...question);
			if (!/event-stream/.test(answer.headers.get('Content-Type'))) return answer;
			const text = new TextDecoder(), bytes = new TextEncoder();
			const earlier = new TransformStream({ transform: (chunk, to) => to.enqueue(bytes.encode(text.decode(chunk, { stream: true }).replace(/"position":"\d+/, '"position":"1'))) });
			return new Response(answer.body.pipeThrough(earlier), { status: answer.status, headers: answer.headers });
		};
	}`)
	p.connect()
	s.publish("t", seq(0, 4)...)
	p.total(4)
	p.says("#events-per-minute", "4")
	p.click("#disconnect")
	s.publish("t", seq(4, 20)...)
	p.says("#events-per-minute", "4+")
	p.wait(`document.getElementById('last-event-age').textContent.startsWith('last known: ')`)
	p.connect()
	p.says("#events-per-minute", "20")
	via.down()
	p.state("error")
	s.publish("t", seq(20, 30)...)
	p.says("#events-per-minute", "20+")
	via.up()
	p.says("#events-per-minute", "30")
	p.click("#freeze")
	s.publish("t", seq(30, 40)...)
	p.says("#events-per-minute", "30+")
	p.says("#events-per-minute", "40")
	// Another tab that comes to the same stream reads it for less long than it has been open.
	other := p.openBeside(via.url())
	other.connect()
	other.wait(`document.getElementById('connection-time').title.startsWith('How long this tab has read')`)
}

// Who comes back to a topic finds what was here: what had come live is not of the past.
func TestBackGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "one=http", "-source", "two=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("one", seq(0, 5)...)
	p.total(5)
	p.wait(`document.querySelectorAll('#sse-feed .data-item[data-latency]').length === 5`)
	p.wait(`document.querySelector('[data-chart=seq]') !== null`)
	p.choose("two")
	p.state("connected")
	p.total(0)
	p.wait(`document.querySelector('.data-item, [data-chart]') === null`)
	s.publish("one", seq(5, 7)...)
	p.run(`history.back()`)
	p.total(7)
	contiguous(t, p.seqs(), 0, 7)
	p.wait(`document.querySelectorAll('#sse-feed .data-item[data-latency]:not([data-replayed])').length === 5`)
	p.wait(`document.querySelectorAll('#sse-feed .data-item[data-replayed]').length === 2`)
	p.wait(`document.querySelector('[data-chart=seq] .chart-range').textContent === '0 – 6'`)
	p.wait(`document.getElementById('stream-resumed').textContent === 'once, nothing missed'`)
	s.publish("one", seq(7, 8)...)
	p.latest(7)
	p.wait(`/ of 6$/.test(document.getElementById('latency-more').textContent)`)
}

// What stands in the address for a stream is none of the page's, and is not passed over
// in silence.
func TestAddressOfAStreamIsNotOfThePage(t *testing.T) {
	told := func(p *page, want string) {
		t.Helper()
		p.wait(`document.getElementById('notice-banner').dataset.notice === 'whole-topic' && document.getElementById('notice-banner').checkVisibility() && document.getElementById('notice-message').textContent === %q`, want)
	}
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url()+"/?topic=t&subject=eu.*")
	told(p, `This page reads all subjects of “t” from its newest 50 events on: “subject” in its address is for streams. The filter above the rows finds those of a subject.`)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	chosen := openPage(t, s.url()+"/?subject=eu.*") // of the topic that the page chooses
	told(chosen, `This page reads all subjects of “t” from its newest 50 events on: “subject” in its address is for streams. The filter above the rows finds those of a subject.`)
	// With last it begins with the newest 50 all the same, and says so.
	s.publish("t", seq(1, 60)...)
	last := openPage(t, s.url()+"/?topic=t&last=3&format=json")
	told(last, `This page reads “t”, in a format of its own, from its newest 50 events on: “last” and “format” in its address are for streams.`)
	last.connect()
	last.latest(59)
	contiguous(t, last.seqs(), 10, 60)
	last.reload()
	told(last, `This page reads “t”, in a format of its own, on from where this tab was: “last” and “format” in its address are for streams.`)
	q := p.openBeside(s.url() + "/?topic=t")
	q.connect()
	q.latest(59)
	q.hidden("#notice-banner")
}
