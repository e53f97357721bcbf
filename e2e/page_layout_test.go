package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A page that is higher than its content scrolls into emptiness.
func TestThePageIsAsHighAsItsContent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "sensor", "-source", "t=http")
	s.publish("t", seq(0, 60)...)
	p := openPage(t, s.url()+"/?topic=t")
	p.connect()
	p.total(50)
	p.run(`document.querySelector('.data-item').click()`) // its panel scrolls by itself, too
	p.visible("#event")
	for _, width := range []int64{1280, 360} {
		p.do(chromedp.EmulateViewport(width, 800))
		for _, view := range []string{"feed", "streams", "traces"} {
			p.click(fmt.Sprintf("#views [data-view=%s]", view))
			p.wait(`document.body.dataset.view === %q`, view)
			p.wait(`document.documentElement.scrollHeight <= Math.max(innerHeight, Math.ceil(document.querySelector('.foot').getBoundingClientRect().bottom + scrollY) + 1)`)
		}
	}
}

// What Try it says, and the news of an outage, move neither figures nor charts.
func TestNothingMovesWhenSomethingIsSaid(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play", "-source", "t=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url())
	p.expect(broken, refused)
	p.connect()
	const places = `JSON.stringify(['.stats', '#charts', '#feed-card'].map((name) => document.querySelector(name).getBoundingClientRect().top))`
	before := eval[string](p, places)
	p.click("#publish")
	p.wait(`document.getElementById('try-said').textContent === 'Published.'`)
	if after := eval[string](p, places); after != before {
		t.Errorf("after Publish stats, charts and feed are at %s, before at %s", after, before)
	}
	s.kill()
	p.visible("#error-banner")
	if after := eval[string](p, places); after != before {
		t.Errorf("in an outage stats, charts and feed are at %s, before at %s", after, before)
	}
}

// The line for a terminal shows every space that it publishes, in one line that is cut.
func TestTheLineForATerminalShowsItsSpaces(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	for _, width := range []int64{1280, 360} {
		p.do(chromedp.EmulateViewport(width, 800))
		for _, text := range []string{"col1    col2", strings.Repeat("a   ", 100) + "z"} {
			p.run(`{ const box = document.getElementById('try-text'); box.value = %q; box.dispatchEvent(new Event('input')) }`, text)
			p.wait(`document.querySelector('#try-curl code').innerText.includes(%q)`, text)
			p.wait(`document.querySelector('#try-curl code').getClientRects()[0].height < 30 && document.documentElement.scrollWidth <= innerWidth`)
		}
	}
}

// Nor does it in the other views: what is drawn and listed there stays where it is.
func TestNothingMovesInTheViewsInAnOutage(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "20s")
	s.publish("t", seq(0, 30)...)
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(broken)
	for _, width := range []int64{1280, 360} {
		p.do(chromedp.EmulateViewport(width, 700))
		for _, view := range []struct{ name, settled, places string }{
			{"streams", `document.getElementById('stream-connection').textContent.startsWith(document.querySelector('#streams-rows tr[data-own] th')?.textContent ?? '-') && document.querySelector('.band canvas').height > 1`, ".band, #streams-rows tr, #streams-legend"},
			{"traces", `document.querySelector('.trace-line')`, "#traces-form, .trace-line, #trace-panel"},
		} {
			p.click("#views [data-view=" + view.name + "]")
			p.retry()
			p.run(`if (document.body.dataset.state === 'disconnected') document.getElementById('connect').click()`)
			p.state("connected")
			p.wait("%s", view.settled)
			if view.name == "traces" { // what comes, and what becomes of a journey, moves the list: that is not the outage's doing
				p.run(`{ const follow = document.getElementById('traces-follow'); if (follow.ariaPressed === 'true') follow.click(); }`)
				p.says("#traces-follow", "Paused")
			}
			places := fmt.Sprintf(`JSON.stringify([...document.querySelectorAll(%q)].map((each) => Math.round(each.getBoundingClientRect().top)))`, view.places)
			before := eval[string](p, "%s", places)
			via.down()
			s.connections(0) // else the next view may be told of this stream's end while it is looked at
			p.visible("#error-banner")
			p.wait(`document.body.dataset.view !== 'streams' || document.getElementById('bands').hasAttribute('data-stale') && document.getElementById('streams-note').textContent.startsWith('as it was at ')`)
			if after := eval[string](p, "%s", places); after != before {
				t.Errorf("at %d px, in an outage the view %s is at %s, before at %s", width, view.name, after, before)
			}
			// The news is in sight, and what it hides can be brought out from under it.
			p.wait(`(() => { const { top, bottom } = document.getElementById('error-banner').getBoundingClientRect(); return top > innerHeight / 2 && bottom <= innerHeight })()`)
			p.run(`window.scrollTo(0, document.documentElement.scrollHeight)`)
			p.wait(`document.querySelector('.foot > :last-child').getBoundingClientRect().bottom <= document.getElementById('error-banner').getBoundingClientRect().top`)
			p.run(`window.scrollTo(0, 0)`)
			via.up()
		}
	}
}

// Back goes to the topic before, as it goes to the view before.
func TestBackGoesToTheTopicBefore(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "one=http", "-source", "two=http")
	p := openPage(t, s.url())
	p.connect()
	p.choose("two")
	p.run(`void history.back()`)
	p.wait(`document.querySelector('#topics input[value=one]').checked && document.getElementById('try-curl').textContent.endsWith('/t/one')`)
	p.run(`void history.forward()`)
	p.wait(`document.querySelector('#topics input[value=two]').checked && document.getElementById('try-curl').textContent.endsWith('/t/two')`)
	p.state("connected")
}

// A topic that was followed is followed when the reader comes back to it, also where its
// rows are higher than those of the topic in between.
func TestTopicIsFollowedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "high=http", "-source", "low=http", "-publish-rate", "0")
	s.publish("low", seq(0, 50)...)
	var events []string
	for n := range 50 {
		events = append(events, fmt.Sprintf(`{"n":%d,"b":1,"c":2,"d":3,"e":4,"f":5,"g":6,"h":7}`, n))
	}
	s.publish("high", events...)
	p := openPage(t, s.url())
	p.connect()
	p.total(50)
	for range 2 {
		for _, topic := range []string{"low", "high"} {
			p.choose(topic)
			p.state("connected")
			p.total(50)
			p.says("#follow", "Following ↓")
			p.wait(`%s`, atNewest)
		}
	}
	p.says("#follow", "Following ↓")
}

// The columns of the rows stand in line, whatever their latency says, and a number that has
// no room in its column goes on behind a comma.
func TestColumnsOfRowsStandInLine(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-publish-rate", "0")
	p := openPage(t, s.url())
	p.connect()
	events := make([]string, 70)
	for n := range events {
		events[n] = fmt.Sprintf(`{"n":%d,"much":123456789012345.678,"owed":-98765432109876.25}`, n)
	}
	s.publish("t", events[:69]...) // some are never on screen
	p.total(69)
	p.wait(`document.querySelector('#sse-feed [data-unseen] .item-latency').textContent.startsWith('came in')`)
	s.publish("t", events[69])
	p.total(70)
	p.wait(`/^[\d.]+ m?s$/.test(document.querySelector('#sse-feed .data-item:last-child .item-latency').textContent)`)
	if lines := eval[string](p, `[...new Set([...document.querySelectorAll('#sse-feed .data-item')].map((row) => [...row.querySelectorAll('.measure')].map((e) => Math.round(e.getBoundingClientRect().left)).join(' ')))].join(', ')`); strings.Contains(lines, ",") {
		t.Errorf("the columns of the rows are at %s", lines)
	}
	p.run(`for (const cell of document.querySelectorAll('#sse-feed [data-unseen] .item-latency')) Object.assign(cell, { textContent: 'came in 888 ms' }).dataset.pace = 'bad'`) // the widest
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item')].every((row) => { const cell = row.querySelector('.item-latency'); return cell.scrollWidth <= cell.clientWidth })`)
	if broken := eval[string](p, `[...document.querySelectorAll('#sse-feed .measure b')].flatMap((e) => [...e.childNodes]).filter((node) => { const range = document.createRange(); range.selectNode(node); return node.nodeType === 3 && range.getClientRects().length > 1 }).map((node) => node.data).join(' ')`); broken != "" {
		t.Errorf("numbers are broken in %s", broken)
	}
	p.wait(`document.querySelector('#sse-feed [data-measure=much] b').textContent === '123,456,789,012,345.67'`)
}

// What stands around the rows may be lower for a moment, as charts that are drawn anew:
// the browser scrolls, and that is no reader who leaves the newest.
func TestFollowOutlivesTheLayout(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 50)...)
	p.latest(49)
	const (
		frames = `await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(r))));`
		follow = `document.getElementById('follow').getAttribute('aria-pressed')`
	)
	p.wait(`%s`, atNewest)
	// In one task, from one frame to the next, and across several.
	for _, between := range []string{``, `await new Promise(requestAnimationFrame);`, frames} {
		for _, change := range []string{`at('charts').style.marginBottom = '-20px'`, `at('feed-card').style.marginTop = '-40px'`, `at('sse-feed').parentElement.style.marginTop = '-25px'`} {
			got := eval[string](p, `(async () => {
				const at = (id) => document.getElementById(id), feed = at('sse-feed'), before = feed.scrollTop, changed = [at('charts'), at('feed-card'), feed.parentElement];
				%s;
				const moved = feed.clientHeight && feed.scrollTop < before;
				%s
				for (const { style } of changed) style.marginBottom = style.marginTop = '';
				%s
				return [moved, %s, %s].join();
			})()`, change, between, frames, follow, atNewest)
			if got != "true,true,true" {
				t.Fatalf("after %s, then %q: moved, following and at the newest are %s", change, between, got)
			}
		}
	}

	// A reader does leave it: with the bar, which tells of itself by the place alone, and with the wheel.
	p.run(`document.getElementById('sse-feed').scrollTop -= 14`)
	p.wait(`%s === 'false'`, follow)
	p.click("#follow")
	p.wait(`%s === 'true' && %s`, follow, atNewest)
	box := eval[map[string]float64](p, `document.getElementById('sse-feed').getBoundingClientRect().toJSON()`)
	p.do(chromedp.MouseEvent(chromedp.MouseWheel, box["x"]+box["width"]/2, box["y"]+box["height"]/2, wheel(-60)))
	p.wait(`%s === 'false'`, follow)
}
