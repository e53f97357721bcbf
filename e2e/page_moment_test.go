package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The picture of the streams and the table below it say what they say of one moment.
func TestPictureAndTableAreOfOneMoment(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-history", "500", "-publish-rate", "0", "-write-timeout", "60s")
	p := openPage(t, s.url())
	slow := deaf(t, s, "t")
	defer func() { _ = slow.Close() }()
	p.click(`#views [data-view=streams]`)
	p.wait(`document.querySelectorAll('#streams-rows tr').length === 1`)
	p.run(`{
		window.told = new Set();
		window.differ = [];
		const look = () => {
			const [, picture] = /furthest by (\d+) /.exec(document.querySelector('.band[data-band=t] canvas').ariaLabel) ?? [];
			const table = document.querySelector('#streams-rows tr').cells[6].textContent.replaceAll(',', '');
			if (picture && picture !== table) window.differ.push(picture + ' ' + table);
			if (picture) window.told.add(picture);
			requestAnimationFrame(() => setTimeout(look));
		};
		look();
	}`)
	pad := strings.Repeat("x", 20_000)
	for n := 0; eval[int](p, `told.size`) < 12; n += 20 {
		var events []string
		for i := range 20 {
			events = append(events, fmt.Sprintf(`{"seq":%d,"pad":%q}`, n+i, pad))
		}
		s.publish("t", events...)
	}
	if differ := eval[[]string](p, `differ`); len(differ) > 0 {
		t.Errorf("the picture and the table told other numbers: %v", differ)
	}
}

// A page knows that it had all for as long as the server told it that nothing else came:
// what a restart has lost is of a later time.
func TestGapOfARestartBeginsWhereThePageHadAll(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-heartbeat", "1s", "-retry", "50ms")
	p := openPage(t, s.url())
	p.expect(broken)
	p.run(`{
		window.pings = 0;
		const ask = window.fetch;
		window.fetch = async (...question) => {
			const answer = await ask(...question);
			if (!/event-stream/.test(answer.headers.get('Content-Type'))) return answer;
			const text = new TextDecoder();
			const counted = new TransformStream({ transform: (chunk, to) => { window.pings += text.decode(chunk).split('event: ping').length - 1; to.enqueue(chunk) } });
			return new Response(answer.body.pipeThrough(counted), { status: answer.status, headers: answer.headers });
		};
	}`)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.total(1)
	p.wait(`document.getElementById('stream-lag').textContent.startsWith('caught up')`) // the server has been asked of the topic
	p.run(`window.pings = 0`)
	p.wait(`window.pings >= 3`)
	s.kill()
	s.start()
	p.retry()
	p.wait(`document.querySelector('#sse-feed .feed-note[data-reason=restart]')`)
	p.wait(`(() => { const { from, since, to } = document.querySelector('#sse-feed .feed-note').dataset
		return Number(since) > parseInt(from) + 1000 && Number(since) < parseInt(to) })()`)
}

// How much waits for a page is told of when the server was asked. What comes then does not
// make it less: nobody knows what has entered the log meanwhile.
func TestBehindIsOfWhenTheServerWasAsked(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.run(`{
		window.ask = window.fetch;
		window.asked = 0;
		window.fetch = (url, options) => {
			if (!String(url).startsWith('/sse-health')) return ask(url, options);
			const id = new URLSearchParams(String(url).split('?')[1]).get('connection');
			if (window.asked++) return new Promise(() => {});
			return Promise.resolve(Response.json({ connection_details: { [id]: { lag_events: 10, events_sent: 0 } } }));
		};
	}`)
	p.connect()
	p.wait(`document.getElementById('stream-lag').textContent.startsWith('10 events (')`)
	s.publish("t", seq(0, 3)...)
	p.total(3)
	p.wait(`document.getElementById('stream-totals').textContent.startsWith('3 ')`)
	p.stays(300*time.Millisecond, `document.getElementById('stream-lag').textContent.startsWith('10 events (')`)
}
