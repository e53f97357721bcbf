package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A page is one tab, in a browser context of its own: no test meets what
// another has left. What goes wrong in it that the test did not announce by
// expect fails the test.
type page struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
	streams  []string // URLs of the requests to /sse-stream
	allowed  []*regexp.Regexp
}

// These are what the browser itself writes when the network fails, as a test
// wants it to: not faults of the page.
const (
	refused = `net::ERR_CONNECTION_REFUSED`
	broken  = `net::ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|CONNECTION_REFUSED|EMPTY_RESPONSE|CONNECTION_CLOSED|SOCKET_NOT_CONNECTED)`
	offline = `net::ERR_INTERNET_DISCONNECTED`
)

func status(code int) string { return fmt.Sprintf(`responded with a status of %d`, code) }

// openPage loads a page in a new browser context.
func openPage(t *testing.T, url string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	return load(t, ctx, cancel, url)
}

// openBeside loads a page in another tab of the same browser context.
func (p *page) openBeside(url string) *page {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx)
	return load(p.t, ctx, cancel, url)
}

func load(t *testing.T, ctx context.Context, cancel context.CancelFunc, url string) *page {
	t.Helper()
	p := &page{t: t, ctx: ctx}
	t.Cleanup(func() {
		p.check()
		cancel()
	})
	if err := chromedp.Listen(ctx, p.event); err != nil {
		t.Fatal("opening a tab:", err)
	}
	p.do(
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			if _, err := cdp.Call(ctx, tab, runtime.AddBinding, runtime.AddBindingParams{Name: "weirViolation"}); err != nil {
				return err
			}
			_, err := cdp.Call(ctx, tab, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
				Source: `addEventListener('securitypolicyviolation', (e) => weirViolation(e.violatedDirective + ' blocked ' + (e.blockedURI || e.sample)))`,
			})
			return err
		}),
		chromedp.EmulateViewport(1280, 900),
		chromedp.Navigate(url),
	)
	return p
}

// event is called by the browser's own goroutine, in order.
func (p *page) event(ev any) {
	problem := ""
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" || ev.Type == "assert" {
			var texts []string
			for _, arg := range ev.Args {
				texts = append(texts, string(arg.Value)+arg.Description)
			}
			problem = fmt.Sprintf("console.%s: %s", ev.Type, strings.Join(texts, " "))
		}
	case *runtime.EventExceptionThrown:
		problem = "exception: " + ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			problem += " " + e.Description
		}
	case *runtime.EventBindingCalled:
		if ev.Name == "weirViolation" {
			problem = "content security policy: " + ev.Payload
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			problem = fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if strings.Contains(ev.Request.URL, "/sse-stream") {
			p.mu.Lock()
			p.streams = append(p.streams, ev.Request.URL)
			p.mu.Unlock()
		}
	case *network.EventLoadingFailed:
		// The page aborts its own stream; nobody else does that.
		if !ev.Canceled {
			problem = "request failed: " + ev.ErrorText
		}
	}
	if problem != "" {
		p.mu.Lock()
		p.problems = append(p.problems, problem)
		p.mu.Unlock()
	}
}

// expect announces problems that the test itself brings about.
func (p *page) expect(patterns ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pattern := range patterns {
		p.allowed = append(p.allowed, regexp.MustCompile(pattern))
	}
}

// check fails the test on what nobody announced, and keeps a picture of a
// failure.
func (p *page) check() {
	p.mu.Lock()
	seen := map[string]int{}
problems:
	for _, problem := range p.problems {
		for _, allowed := range p.allowed {
			if allowed.MatchString(problem) {
				continue problems
			}
		}
		seen[problem]++
	}
	p.mu.Unlock()
	for problem, n := range seen {
		p.t.Errorf("in the page, %d times: %s", n, problem)
	}
	if !p.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		saveOut(p.t, fmt.Sprintf("page-%d.png", time.Now().UnixNano()), png)
	}
}

// streamRequests is how many requests for a stream the page has made.
func (p *page) streamRequests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.streams)
}

// do runs actions of chromedp, in bounded time.
func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// eval returns the value of a JavaScript expression in the page.
func eval[T any](p *page, format string, args ...any) T {
	p.t.Helper()
	v, err := tryEval[T](p, fmt.Sprintf(format, args...))
	if err != nil {
		p.t.Fatalf("evaluating %s: %v", fmt.Sprintf(format, args...), err)
	}
	return v
}

func tryEval[T any](p *page, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// run evaluates for the effect.
func (p *page) run(format string, args ...any) {
	p.t.Helper()
	eval[chromedp.Void](p, format, args...)
}

// wait waits until a JavaScript expression is true, or a promise of something true.
func (p *page) wait(format string, args ...any) {
	p.t.Helper()
	condition := fmt.Sprintf(format, args...)
	last := error(nil)
	eventually(p.t, func() bool {
		var ok bool
		ok, last = tryEval[bool](p, "(async () => Boolean(await ("+condition+")))()")
		return ok
	}, func() string {
		if last != nil {
			return fmt.Sprintf("%s: %v", condition, last)
		}
		return fmt.Sprintf("never came true: %s; the page says: %s", condition, p.summary())
	})
}

// stays checks that an expression is true all the while.
func (p *page) stays(d time.Duration, format string, args ...any) {
	p.t.Helper()
	condition := fmt.Sprintf(format, args...)
	throughout(p.t, d, func() bool { return eval[bool](p, "Boolean(%s)", condition) },
		func() string { return fmt.Sprintf("no longer true: %s; the page says: %s", condition, p.summary()) })
}

func (p *page) summary() string {
	text, err := tryEval[string](p, `JSON.stringify({
		state: document.body.dataset.state,
		status: document.getElementById('connection-status')?.textContent,
		error: document.getElementById('error-banner')?.checkVisibility() ? document.getElementById('error-banner').innerText : '',
		notice: document.getElementById('notice-banner')?.checkVisibility() ? document.getElementById('notice-banner').innerText : '',
		total: document.getElementById('total-events')?.textContent,
		items: document.querySelectorAll('#sse-feed .data-item').length,
		last: document.querySelector('#sse-feed .data-item:last-of-type')?.innerText,
	})`)
	if err != nil {
		return err.Error()
	}
	return text
}

// click presses an element with the mouse, once it can be seen.
func (p *page) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// stands waits until an element has not moved for two frames: a press goes to the
// place where the element was when the test looked.
func (p *page) stands(selector string) {
	p.t.Helper()
	p.wait(`new Promise((done) => {
		const place = () => JSON.stringify(document.querySelector(%q).getBoundingClientRect());
		const before = place();
		requestAnimationFrame(() => requestAnimationFrame(() => done(place() === before)));
	})`, selector)
}

// wheel turns the wheel by so many pixels; a negative number is up.
func wheel(y float64) chromedp.MouseOption {
	// The browser wants both, and zero would be left out.
	return func(p *input.DispatchMouseEventParams) { p.DeltaX, p.DeltaY = 1e-9, y }
}

// text is an element's text.
func (p *page) text(selector string) string {
	p.t.Helper()
	return eval[string](p, `document.querySelector(%q).textContent.trim()`, selector)
}

// reload loads the page again, and returns when the old document is gone.
func (p *page) reload() {
	p.t.Helper()
	p.run(`window.old = true; location.reload()`)
	p.wait(`!window.old && document.readyState === 'complete'`)
}

// says waits until an element's text is this one. What Alpine binds, and what
// the page renews twice a second, follows a moment behind the event it tells of.
func (p *page) says(selector, want string) {
	p.t.Helper()
	p.wait(`document.querySelector(%q).textContent.trim() === %q`, selector, want)
}

// visible waits until an element can be seen, hidden until it cannot.
func (p *page) visible(selector string) {
	p.t.Helper()
	p.wait(`document.querySelector(%q)?.checkVisibility()`, selector)
}

func (p *page) hidden(selector string) {
	p.t.Helper()
	p.wait(`!document.querySelector(%q)?.checkVisibility()`, selector)
}

// state waits until the page is in a state.
func (p *page) state(want string) {
	p.t.Helper()
	p.wait(`document.body.dataset.state === %q`, want)
}

// connect presses Connect and waits until the stream is open.
func (p *page) connect() {
	p.t.Helper()
	p.click("#connect")
	p.state("connected")
}

// retry presses Retry, if it is there: the page may be quicker.
func (p *page) retry() {
	p.t.Helper()
	p.run(`void (document.body.dataset.state === 'error' && document.getElementById('retry').click())`)
}

// choose presses a topic, and waits until the page has taken it: its address
// says so.
func (p *page) choose(topic string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`#topics label:has(input[value=%s])`, topic))
	p.wait(`new URLSearchParams(location.search).get('topic') === '%s'`, topic)
}

// total waits until the page has counted that many events, and what came of them is in
// the feed: a frame later, or, in a hidden tab, a quarter of a second.
func (p *page) total(want int) {
	p.t.Helper()
	p.wait(`document.getElementById('total-events').textContent.replaceAll(',', '') === '%d'`, want)
	p.wait(`new Promise((drawn) => (document.hidden ? setTimeout(drawn, 300, true) : requestAnimationFrame(() => drawn(true))))`)
}

// record has the page note the seq of every event that it inserts, in order.
func (p *page) record() {
	p.t.Helper()
	p.run(`void (window.recorded = [], window.recordedIds = [], new MutationObserver((records) => {
		for (const { addedNodes } of records) for (const node of addedNodes) {
			if (!node.classList?.contains('data-item')) continue;
			recorded.push(Number(node.querySelector('[data-measure=seq]').dataset.value));
			recordedIds.push(node.dataset.id);
		}
	}).observe(document.getElementById('sse-feed'), { childList: true }))`)
}

// seqs are the numbers of the events in the feed, from the oldest.
func (p *page) seqs() []int {
	p.t.Helper()
	return eval[[]int](p, `[...document.querySelectorAll('#sse-feed .data-item [data-measure=seq]')].map((e) => Number(e.dataset.value))`)
}

// latest waits until the newest event in the feed has that number.
func (p *page) latest(seq int) {
	p.t.Helper()
	p.wait(`[...document.querySelectorAll('#sse-feed .data-item [data-measure=seq]')].at(-1)?.dataset.value === '%d'`, seq)
}

// network takes the page off the network and puts it back.
func (p *page) network(online bool) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: !online, DownloadThroughput: -1, UploadThroughput: -1}},
		})
		_, also := cdp.Call(ctx, tab, network.OverrideNetworkState, network.OverrideNetworkStateParams{
			Offline: !online, DownloadThroughput: -1, UploadThroughput: -1,
		})
		return errors.Join(err, also)
	}))
}

// contiguous fails unless the numbers are from … to-1, each once and in order.
func contiguous(t *testing.T, got []int, from, to int) {
	t.Helper()
	for i, n := range got {
		if n != from+i {
			t.Fatalf("event %d stands where %d should: …%v…", n, from+i, got[max(0, i-3):min(len(got), i+4)])
		}
	}
	if len(got) != to-from {
		t.Fatalf("%d events, want %d", len(got), to-from)
	}
}
