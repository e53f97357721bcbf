package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// reading starts a server with the topic t, and a page that reads it.
func reading(t *testing.T, args ...string) (*server, *page) {
	t.Helper()
	s := startServer(t, append(args, "-source", "t=http", "-publish-rate", "0")...)
	p := openPage(t, s.url())
	p.connect()
	return s, p
}

// A chart draws the values that it tells of, on a scale that does not leave the ground
// where they do not, and no label lies on its line.
func TestChartsDrawWhatTheySay(t *testing.T) {
	t.Parallel()
	s, p := reading(t)
	for n := range 4 {
		s.publish("t", fmt.Sprintf(`{"count":%d,"bytes":%d,"owed":-%d}`, n, 12_345+n*n*10_000_000, n))
	}
	p.total(4)
	ends := `[...document.querySelectorAll('[data-chart=%s] .chart-end')].map((e) => e.textContent).join()`
	p.wait(`(`+ends+`).endsWith(',0')`, "count")
	p.wait(`/^[\d,]+,0$/.test(`+ends+`)`, "bytes")
	p.wait(`/^0,-\d$/.test(`+ends+`)`, "owed")
	// The label stands beside the line: nothing is drawn under it.
	p.wait(`(() => { const chart = document.querySelector('[data-chart=bytes]'), plot = chart.querySelector('canvas'), label = chart.querySelector('.chart-low').getBoundingClientRect(), at = plot.getBoundingClientRect(), by = plot.width / at.width
		const { data } = plot.getContext('2d').getImageData((label.left - at.left) * by, (label.top - at.top) * by, label.width * by, label.height * by)
		return label.width > 0 && data.every((of) => of === 0) })()`)
	// After a time without events the line goes on: nothing is missing. A batch of one moment
	// is seen, though its own line has no width.
	s.publish("t", `{"other":1}`)
	p.run(`void (window.gap = 11_000 + Date.now())`)
	p.wait(`Date.now() > gap`)
	batch := make([]string, 0, 200)
	for n := range 200 {
		batch = append(batch, fmt.Sprintf(`{"count":%d}`, n))
	}
	s.publish("t", batch...)
	p.wait(`document.querySelector('[data-chart=count] .chart-range').textContent === '0 – 199'`)
	p.wait(`(() => { const plot = document.querySelector('[data-chart=count] canvas'), at = plot.getBoundingClientRect(), over = document.querySelector('[data-chart=count] .u-over').getBoundingClientRect(), by = plot.width / at.width
		const height = Math.round((over.bottom - at.top) * by), { data } = plot.getContext('2d').getImageData(0, 0, plot.width, height)
		const drawn = (x, y) => data[4 * (y * plot.width + x) + 3] > 0, rows = [...Array(height).keys()], columns = [...Array(plot.width).keys()]
		return columns.slice(-16).some((x) => rows.slice(0, height / 2).some((y) => drawn(x, y)))
			&& columns.slice(Math.ceil((over.left - at.left) * by) + 8, -16).every((x) => rows.some((y) => drawn(x, y))) })()`)
}

// A line has a hole where events are lost, and none where the reader was away and missed
// nothing.
func TestChartBreaksWhereEventsAreLost(t *testing.T) {
	t.Parallel()
	s, p := reading(t, "-history", "10")
	s.publish("t", seq(0, 4)...)
	p.total(4)
	const hole = `(() => { const plot = document.querySelector('[data-chart=seq] canvas'), at = plot.getBoundingClientRect(), over = document.querySelector('[data-chart=seq] .u-over').getBoundingClientRect(), by = plot.width / at.width
		const height = Math.round((over.bottom - at.top) * by), rows = [...Array(height).keys()]
		const copy = Object.assign(document.createElement('canvas'), { width: plot.width, height }).getContext('2d', { willReadFrequently: true })
		copy.drawImage(plot, 0, 0)
		const { data } = copy.getImageData(0, 0, plot.width, height)
		return [...Array(plot.width).keys()].slice(Math.ceil((over.left - at.left) * by) + 8, -16).some((x) => rows.every((y) => !data[4 * (y * plot.width + x) + 3])) })()`
	away := func(from, to, total int) {
		p.click("#disconnect")
		p.state("disconnected")
		p.run(`void (window.back = 2000 + Date.now())`)
		p.wait(`Date.now() > back`)
		for _, event := range seq(from, to) {
			s.publish("t", event)
		}
		p.connect()
		p.total(total)
		p.wait(`document.querySelector('[data-chart=seq] .chart-range').textContent === '0 – %d'`, to-1)
	}
	away(4, 8, 8)
	if eval[bool](p, hole) {
		t.Error("the line has a hole, and nothing was lost")
	}
	away(8, 40, 18)
	p.says("#stream-gaps", "1")
	p.wait(hole)
}

// A number reads alike in its row, as the latest of its chart, in the range, and under the
// pointer; and the ends of a chart are not 0 where its values are not.
func TestNumbersReadAlikeInRowsAndCharts(t *testing.T) {
	t.Parallel()
	s, p := reading(t)
	for n := range 5 {
		s.publish("t", fmt.Sprintf(`{"tiny":%de-9,"large":%d.9,"owed":%d,"vast":%d}`, n+1, 12_345_681+n, 49_247-n*10_000, 12_345_678_901*(n+1)))
	}
	p.total(5)
	for name, want := range map[string][2]string{"tiny": {"5e-9", "1e-9 – 5e-9"}, "large": {"12,345,685.9", "12,345,681.9 – 12,345,685.9"}, "owed": {"9247", "9247 – 49,247"}} {
		p.wait(`[...document.querySelectorAll('#sse-feed [data-measure=%s] b')].at(-1).textContent === '%s'`, name, want[0])
		p.wait(`document.querySelector('[data-chart=%s] .chart-value')?.textContent === '%s'`, name, want[0])
		p.wait(`document.querySelector('[data-chart=%s] .chart-range').textContent === '%s'`, name, want[1])
		p.wait(`(() => { const ends = [...document.querySelectorAll('[data-chart=%s] .chart-end')].map((e) => e.textContent)
			return ends[0] !== ends[1] && /[1-9]/.test(ends[0]) && ends[0].length < 14 })()`, name)
	}
	p.wait(`[...document.querySelectorAll('[data-chart=owed] .chart-end')].every((e) => /^\d+,\d{3}$/.test(e.textContent))`)
	p.run(`document.querySelector('[data-measure-choice=vast]').click()`)
	p.wait(`document.querySelector('[data-chart=vast] .chart-range')?.textContent === '12,345,678,901 – 61,728,394,505'`)
	p.wait(`[...document.querySelectorAll('[data-chart=vast] .chart-end')].map((e) => e.textContent).join() === '6.77e+10,6.4e+9'`)
	p.run(`(() => { const over = document.querySelector('[data-chart=tiny] .u-over'), { left, top, width } = over.getBoundingClientRect()
		for (const name of ['mouseenter', 'mousemove']) over.dispatchEvent(new MouseEvent(name, { clientX: left + width - 2, clientY: top + 5, bubbles: true })) })()`)
	p.wait(`document.querySelector('[data-chart=tiny]').hasAttribute('data-hover') && /^[1-5]e-9$/.test(document.querySelector('[data-chart=tiny] .chart-value').textContent)`)
}

// A scale has room for every value that is drawn, also for the last ones of a batch, which
// came at one time; and one value with a fraction does not lend its digits to the others.
func TestScaleIsOfEveryValue(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-publish-rate", "0")
	p := openPage(t, s.url())
	p.connect()
	ends := `[...document.querySelectorAll('[data-chart=%s] .chart-end')].map((e) => Number(e.textContent.replaceAll(',', '')))`
	s.publish("t", `{"first":1}`, `{"first":2}`, `{"first":-3.5}`)
	p.wait(ends+`[0] > 2`, "first")
	p.wait(ends+`[1] < -3.5`, "first")
	for n := range 5 {
		p.run(`window.until = 100 + Date.now()`) // in one moment each
		p.wait(`Date.now() > until`)
		s.publish("t", fmt.Sprintf(`{"a":%d}`, n+1))
	}
	for _, peak := range []int{500, 7_000, 90_000} {
		s.publish("t", `{"a":6}`, fmt.Sprintf(`{"a":%d}`, peak))
		p.wait(`document.querySelector('[data-chart=a] .chart-value').textContent.replaceAll(',', '') === '%d'`, peak)
		p.wait(ends+fmt.Sprintf(`[0] >= %d`, peak), "a")
	}
	s.publish("t", `{"a":0.33333}`, `{"a":4}`)
	p.says("[data-chart=a] .chart-value", "4")
	p.says("[data-chart=a] .chart-range", "0.33333 – 90,000")
	p.wait(`[...document.querySelectorAll('[data-chart=a] .chart-end')].every((e) => !e.textContent.includes('.'))`)
}

// Every number that has come three times can be chosen, whatever came beside it, and is
// whole in its row.
func TestEveryNumberCanBeChosen(t *testing.T) {
	t.Parallel()
	s, p := reading(t)
	var many []string
	for n := range 20 {
		many = append(many, fmt.Sprintf(`"n%d":%d`, n, n))
	}
	for n := range 3 {
		s.publish("t", `"text"`, fmt.Sprintf(`{"unix":179577777700%d,"temperature_celsius":%d}`, n, n), fmt.Sprintf(`{"load":{"cpu":%d}}`, n), "{"+strings.Join(many, ",")+"}")
		s.publishAs("t", "application/cloudevents+json", fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"x","subject":"s%d","data":{"each":%d}}`, n, n, n))
	}
	p.total(15)
	for _, name := range []string{"unix", "load.cpu", "n0", "n19", "each"} {
		p.wait(`document.querySelector('[data-measure-choice="%s"]') !== null`, name)
	}
	p.wait(`[...document.querySelectorAll('#sse-feed .measure')].every((e) => e.scrollWidth <= e.clientWidth || getComputedStyle(e).overflow === 'visible')`)
}

// A chart goes by the time at which events entered the topic, and says so where their own
// is another one.
func TestChartSaysByWhichTimeItGoes(t *testing.T) {
	t.Parallel()
	s, p := reading(t)
	s.publish("t", `{"live":1}`, `{"live":2}`, `{"live":3}`)
	for n := range 3 {
		s.publishAs("t", "application/cloudevents+json", fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"x","time":"2020-01-01T00:0%d:00Z","data":{"old":%d}}`, n, n, n))
	}
	p.wait(`document.querySelector('[data-chart=old] .chart-range')?.textContent === '0 – 2 · by arrival'`)
	p.wait(`document.querySelector('[data-chart=live] .chart-range').textContent === '1 – 3'`)
}
