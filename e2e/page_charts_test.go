package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// columns says where a chart has its line: for each place from its left to its
// right, whether anything is drawn in the colour of the measure.
const columns = `(name) => {
	const canvas = document.querySelector('[data-chart="' + name + '"] canvas'), { width, height } = canvas
	const { data } = canvas.getContext('2d').getImageData(0, 0, width, height - 22 * devicePixelRatio)
	return Array.from({ length: width }, (_, x) => { for (let y = 0; y < data.length / 4 / width; y++) if (data[(y * width + x) * 4 + 3] > 120) return true; return false })
}`

// A chart shows what is known, and nothing else: a gap is a gap, a batch is no
// spike, and the range is written as the value is.
func TestChartsTellWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "200ms")
	p := openPage(t, s.url())
	p.expect(broken, refused)
	p.connect()
	n := 0
	publish := func() {
		s.publish("t", fmt.Sprintf(`{"v":%s,"big":12345678901234567000,"load":{"cpu":%d},"a":1,"b":1,"c":1,"d":1,"e":1}`, []string{"7.6", "9", "8.25"}[n%3], n))
		n++
		pause(120 * time.Millisecond)
	}
	publish()
	publish()
	p.total(2)
	if eval[bool](p, `document.querySelectorAll('[data-chart]').length > 0`) {
		t.Error("two values make a chart")
	}
	for range 7 {
		publish()
	}
	p.wait(`document.querySelector('[data-chart=v] .chart-range')?.textContent === '7.60 – 9.00'`)
	p.wait(`document.querySelector('[data-chart=v] .chart-value').textContent === '8.25'`)
	// Few of many are shown, and the feed stays in sight.
	if shown := eval[int](p, `document.querySelectorAll('[data-chart]').length`); shown != 3 {
		t.Errorf("%d charts are shown without being asked for, want 3", shown)
	}
	p.wait(`document.getElementById('sse-feed').getBoundingClientRect().bottom <= innerHeight && document.getElementById('sse-feed').clientHeight > 150`)
	// One is hidden, and a number from within is chosen.
	p.click("#charts-menu summary")
	p.click(`[data-measure-choice=big]`)
	p.click(`[data-measure-choice="load.cpu"]`)
	p.wait(`!document.querySelector('[data-chart=big]') && document.querySelector('[data-chart="load.cpu"] canvas')`)
	p.run(`document.getElementById('charts-menu').open = false`)
	// What is under the pointer, and when it was.
	box := eval[map[string]float64](p, `document.querySelector('[data-chart=v] .u-over').getBoundingClientRect().toJSON()`)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box["x"]+2, box["y"]+box["height"]/2))
	p.wait(`document.querySelector('[data-chart=v]').hasAttribute('data-hover') && document.querySelector('[data-chart=v] .chart-value').textContent === '7.60' && /^\d\d:\d\d:\d\d/.test(document.querySelector('[data-chart=v] .chart-range').textContent)`)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 5, 5))
	// The server loses what it had: nothing is drawn for the time in between.
	s.kill()
	p.state("error")
	pause(1500 * time.Millisecond)
	s.start()
	p.state("connected")
	p.wait(`document.querySelector('.feed-note[data-note=gap]')`)
	for range 6 {
		publish()
	}
	p.total(15)
	p.wait(`(() => { const drawn = (%s)('v'), first = drawn.indexOf(true), last = drawn.lastIndexOf(true)
		let most = 0, run = 0; for (const on of drawn.slice(first, last)) { run = on ? 0 : run + 1; most = Math.max(most, run) }
		return most > (last - first) / 5 && first < drawn.length / 8 })()`, columns)
}

// A share of a whole is drawn as one, from nothing to all of it.
func TestPercentagesAreDrawnFromZero(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "sensor")
	p := openPage(t, s.url())
	p.connect()
	p.wait(`document.querySelector('[data-chart=humidity] canvas')`)
	p.wait(`(() => { const canvas = document.querySelector('[data-chart=humidity] canvas'), over = document.querySelector('[data-chart=humidity] .u-over').getBoundingClientRect(), box = canvas.getBoundingClientRect()
		const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height), x = Math.round(canvas.width / 2)
		let y = 0; while (y < canvas.height && data[(y * canvas.width + x) * 4 + 3] < 120) y++
		const percent = 100 * (1 - (y / devicePixelRatio - (over.top - box.top)) / over.height)
		const [low, high] = document.querySelector('[data-chart=humidity] .chart-range').textContent.split(' – ').map(Number)
		return percent > low - 6 && percent < (high ?? low) + 6 })()`)
}
