package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// More than the rows show is kept over a reload: what came in the last minute, and the
// charts.
func TestReloadKeepsWhatWasCounted(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 120)...)
	p.total(120)
	chart := `document.querySelector('[data-chart=seq] .chart-plot')?.ariaLabel`
	p.wait("%s?.includes('between 0 and 119 over the last 120 values')", chart)
	p.reload()
	p.state("connected")
	p.total(120)
	p.says("#events-per-minute", "120+") // the server has run for less than a minute
	p.wait("%s?.includes('between 0 and 119 over the last 120 values')", chart)
	// What comes goes on the same lines, and nothing counts twice.
	p.click("#follow")
	s.publish("t", seq(120, 180)...)
	p.total(180)
	p.reload()
	p.state("connected")
	p.latest(179)
	contiguous(t, p.seqs(), 130, 180)
	p.total(180)
	p.says("#events-per-minute", "180+")
	p.wait("%s?.includes('between 0 and 179 over the last 180 values')", chart)
}

// A chart has a line for each subject, up to four, and says of how many it has none; and
// that a filter of the rows is none of the charts.
func TestChartsHaveALineForEachSubject(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	event := func(n, subject, level int) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"%d-%d","source":"/s","type":"x","subject":"s%d","data":{"level":%d}}`, n, subject, subject, level)
	}
	for n := range 4 {
		var list []string
		for subject := range 2 {
			list = append(list, event(n, subject, 100*subject+n))
		}
		s.publishAs("t", "application/cloudevents-batch+json", "["+strings.Join(list, ",")+"]")
	}
	p.total(8)
	legend := `[...document.querySelectorAll('[data-chart=level] .chart-line')].map((e) => e.textContent).join()`
	p.wait(`%s === 's03,s1103'`, legend)
	p.wait(`document.querySelector('[data-chart=level] .chart-plot').ariaLabel === 'level: s0: latest 3, between 0 and 3 over the last 4 values; s1: latest 103, between 100 and 103 over the last 4 values'`)
	// A row has the colour of its line.
	p.wait(`[...document.querySelectorAll('#sse-feed .measure')].slice(-2).every((e) => e.dataset.color === document.querySelector('[data-subject=' + e.closest('.data-item').dataset.subject + ']').dataset.color)`)
	for subject := range 7 {
		s.publishAs("t", "application/cloudevents+json", event(9, subject, subject))
	}
	p.wait(`document.querySelectorAll('[data-chart=level] .chart-line').length === 4 && document.querySelector('[data-chart=level] .chart-others').textContent === 'and 3 more subjects, not drawn'`)
	p.reload()
	p.wait(`document.querySelectorAll('[data-chart=level] .chart-line').length === 4 && document.querySelector('[data-chart=level] .chart-others').textContent === 'and 3 more subjects, not drawn'`)
	// A subject of which nothing comes any more makes room.
	p.state("connected")
	for n := range 60 {
		s.publishAs("t", "application/cloudevents+json", event(20+n, 6, n))
	}
	p.wait(`%s.includes('s6')`, legend)
	p.hidden(".charts-scope")
	p.do(chromedp.KeyEvent("/"))
	p.wait(`document.activeElement.id === 'filter-text'`)
	p.run(`document.getElementById('filter-text').value = 's6'; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
	p.visible(".charts-scope")
	p.run(`document.getElementById('filter-text').value = ''; document.getElementById('filter-text').dispatchEvent(new Event('input', { bubbles: true }))`)
	p.hidden(".charts-scope")
}

// A number that no chart can draw is none of the three values from which on there is one.
func TestChartsAreOfThreeValues(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", `1e400`, `1`, `{"other":1}`, `{"other":2}`, `{"other":3}`, `2`)
	p.total(6)
	p.wait(`document.querySelector('[data-chart=other]')`)
	if eval[bool](p, `Boolean(document.querySelector('[data-chart=t]'))`) {
		t.Error("there is a chart of two values")
	}
	s.publish("t", `3`)
	p.wait(`document.querySelector('[data-chart=t] .chart-plot')?.ariaLabel === 't: latest 3, between 1 and 3 over the last 3 values'`)
}

// Events of other days are seen to be of other days, in the zone that is chosen.
func TestTimesOfOtherDays(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	for n, at := range []string{"2020-01-01T00:00:00Z", "2031-01-01T00:00:00Z", ""} {
		member := ""
		if at != "" {
			member = fmt.Sprintf(`,"time":%q`, at)
		}
		s.publishAs("t", "application/cloudevents+json", fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"x"%s,"data":{"seq":%d}}`, n, member, n))
	}
	p.latest(2)
	p.run(`document.getElementById('utc').click()`)
	p.wait(`[...document.querySelectorAll('#sse-feed .item-time')].map((e) => e.textContent).slice(0, 2).join() === '2020-01-01 00:00:00.000,2031-01-01 00:00:00.000'`)
	if text := p.text(`#sse-feed .data-item:last-child .item-time`); !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d\d\d$`).MatchString(text) {
		t.Errorf("an event of today has the time %q", text)
	}
	p.click(`#sse-feed .data-item`)
	facts := `document.getElementById('event-facts').textContent.includes('2020-01-01 00:00:00.000 UTC')`
	p.wait("%s", facts)
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"})
		return err
	}))
	p.run(`document.getElementById('utc').click()`)
	p.wait(`document.querySelector('#sse-feed .item-time').textContent === '2019-12-31 19:00:00.000'`)
	p.wait(`document.getElementById('event-facts').textContent.includes('2019-12-31 19:00:00.000 UTC−05:00')`)
}
