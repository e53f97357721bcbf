package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestJourneyOfAnEvent(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 3)...)
	p.latest(2)
	trace := eval[string](p, `document.querySelector('#sse-feed .data-item').dataset.traceparent.slice(3, 35)`)
	p.click(`#sse-feed .data-item`)
	p.wait(`document.querySelector('#sse-feed .data-item').getAttribute('aria-pressed') === 'true'`)
	p.wait(`document.getElementById('journey').dataset.journey === 'loaded'`)
	p.wait(`document.querySelector('#journey .journey')?.dataset.traceId === %q`, trace)

	// From the source to the screen: the browser's own part comes a little later.
	p.wait(`document.querySelector('#journey .waterfall [data-service="weir-browser"]')`)
	spans := eval[[]string](p, `[...document.querySelectorAll('#journey .waterfall [data-span]')].map((e) => e.dataset.span)`)
	for _, want := range []string{"send t", "deliver t", "process t"} {
		found := 0
		for _, span := range spans {
			if span == want {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%q stands %d times in the waterfall %q", want, found, spans)
		}
	}
	if total := p.text("#journey [data-total]"); !strings.HasSuffix(total, "s") || strings.HasPrefix(total, "-") {
		t.Errorf("the journey took %q", total)
	}
	if text := p.text("#journey .journey-total"); !strings.Contains(text, "from t to screen") {
		t.Errorf("the journey is told as %q", text)
	}
	// Every bar lies in its track.
	if bad := eval[[]string](p, `[...document.querySelectorAll('#journey .waterfall .span-row')].filter((row) => {
		const [track, bar] = [row.querySelector('svg'), row.querySelector('rect')];
		const [t, b] = [track.getBoundingClientRect(), bar.getBoundingClientRect()];
		return b.left < t.left - 1 || b.right > t.right + 1 || b.width < 1;
	}).map((row) => row.innerText)`); len(bad) > 0 {
		t.Errorf("bars out of their tracks: %q", bad)
	}
	p.says("#journey [data-trace]", trace)
	if link := eval[bool](p, `Boolean(document.querySelector('#journey [data-jaeger]'))`); link {
		t.Error("a link to Jaeger, and none is running")
	}
	p.click("#journey [data-copy]")
	p.wait(`['Copied', 'Not copied'].includes(document.querySelector('#journey [data-copy]').textContent)`)

	// Another event, then none.
	p.click(`#sse-feed .data-item:nth-of-type(2)`)
	p.wait(`document.querySelector('#journey .journey')?.dataset.traceId === document.querySelectorAll('#sse-feed .data-item')[1].dataset.traceparent.slice(3, 35)`)
	p.wait(`document.querySelectorAll('#sse-feed [aria-pressed=true]').length === 1`)
	p.click("#journey-close")
	p.wait(`document.getElementById('journey').dataset.journey === 'empty' && !document.querySelector('#sse-feed [aria-pressed=true]')`)
	p.state("connected")
}

// A row has the journey by which it came, whatever connection the page has by now: that was
// no other reader.
func TestRowKeepsItsJourney(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	p := openPage(t, s.url())
	p.expect(`favicon.ico`)
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	const total = `(document.querySelector('#journey .journey-total')?.textContent.trim() ?? '')`
	press := func() string {
		p.run(`document.getElementById('journey-close').hidden || document.getElementById('journey-close').click()`)
		p.wait(`document.getElementById('journey').dataset.journey === 'empty'`)
		p.click(`#sse-feed .data-item`)
		p.wait(`document.getElementById('journey').dataset.journey === 'loaded'`)
		return eval[string](p, total)
	}
	press()
	p.wait(total + `.endsWith('from t to screen')`) // the page has reported
	own := eval[string](p, total)
	first := p.text("#stream-connection")
	for name, again := range map[string]func(){
		"a cut":                  func() { p.click("#cut"); p.state("error") },
		"Disconnect and Connect": func() { p.click("#disconnect"); p.state("disconnected"); p.click("#connect") },
		"a reload":               p.reload,
	} {
		again()
		p.wait(`document.body.dataset.state === 'connected' && document.getElementById('stream-connection').textContent !== %q`, first)
		if now := press(); now != own {
			t.Errorf("after %s the row that took %q is said to have taken %q", name, own, now)
		}
	}
	// The address of the event is opened again with the row beside it.
	p.wait(`new URLSearchParams(location.search).has('event')`)
	p.reload()
	p.wait(total + ` !== ''`)
	if now := eval[string](p, total); now != own {
		t.Errorf("at its address the event that took %q is said to have taken %q", own, now)
	}
	p.state("connected")
}

func TestJourneyLinksToJaeger(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-jaeger-ui", "http://127.0.0.1:16999/ui")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.click(`#sse-feed .data-item`)
	p.wait(`document.querySelector('#journey [data-jaeger]')`)
	trace := eval[string](p, `document.querySelector('#sse-feed .data-item').dataset.traceparent.slice(3, 35)`)
	if got, want := eval[string](p, `document.querySelector('#journey [data-jaeger]').href`), "http://127.0.0.1:16999/ui/trace/"+trace; got != want {
		t.Errorf("the link leads to %s, want %s", got, want)
	}
}

func TestJourneysThatNobodyKept(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "200ms")
	p := openPage(t, s.url())
	p.expect(broken, status(404))
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	s.kill()
	p.visible("#error-banner") // which moves the rows
	p.stands(`#sse-feed .data-item`)

	// Nobody there to ask.
	p.click(`#sse-feed .data-item`)
	p.wait(`document.getElementById('journey').dataset.journey === 'failed'`)
	p.wait(`document.querySelector("#journey .journey-missing").textContent.includes("cannot be reached")`)
	// A new process knows nothing of the old one's events.
	s.start()
	p.state("connected")
	p.click("#journey-close")
	p.click(`#sse-feed .data-item`)
	p.wait(`document.getElementById('journey').dataset.journey === 'missing'`)
	if text := p.text("#journey .journey-missing"); text == "" {
		t.Error("the panel does not say why there is no journey")
	}
	p.state("connected")
}

func TestUnsampledEventsSaySo(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-event-traces", "0")
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 2)...)
	p.latest(1)
	p.click(`#sse-feed .data-item`)
	p.wait(`document.getElementById('journey').dataset.journey === 'unsampled'`)
	p.wait(`document.querySelector("#journey .journey-missing").textContent.includes("sampled")`)
}

// With a listener for operators, details and journeys are there alone.
func TestAdminListener(t *testing.T) {
	t.Parallel()
	admin := freeAddr(t)
	s := startServer(t, "-source", "t=http", "-admin-addr", admin)
	p := openPage(t, s.url())
	p.connect()
	s.publish("t", seq(0, 1)...)
	p.latest(0)
	p.click(`#sse-feed .data-item`)
	p.wait(`document.getElementById('journey').dataset.journey === 'moved'`)
	for path, want := range map[string]int{"/metrics": 404, "/traces/" + strings.Repeat("a", 32): 404, "/debug/pprof/": 404, "/sse-health": 200} {
		if a := get(t, s.url()+path, ""); a.StatusCode != want {
			t.Errorf("%s on the public address: %s, want %d", path, a.Status, want)
		}
	}
	if n := len(s.health().ConnectionDetails); n != 0 {
		t.Errorf("the public address tells of %d connections", n)
	}
	for _, path := range []string{"/metrics", "/sse-health", "/debug/pprof/goroutine"} {
		if a := get(t, fmt.Sprintf("http://%s%s", admin, path), ""); a.StatusCode != 200 {
			t.Errorf("%s on the admin address: %s", path, a.Status)
		}
	}
	// What its view of the streams says to do can be done there.
	p.click("#disconnect")
	s.connections(0)
	operators := openPage(t, fmt.Sprintf("http://%s/streams", admin))
	operators.visible("#streams-none")
	if text := operators.text("#streams-none"); text != "Nobody reads at present." {
		t.Errorf("on the admin address the view of the streams says %q", text)
	}
}
