package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestServerDownAtFirstConnect(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "300ms")
	p := openPage(t, s.url())
	p.expect(refused, broken)
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	s.kill()
	p.click("#connect")
	p.wait(`document.body.dataset.state === 'error' && document.getElementById('connection-status').textContent === 'Error'`)
	p.wait(`document.getElementById('error-message').textContent.includes('cannot be reached')`)
	p.wait(`/Next try in \d+ s \(\d of 8\)/.test(document.getElementById('retry-countdown').textContent)`)
	s.start()
	p.state("connected")
	p.hidden("#error-banner")
	s.publish("t", seq(0, 1)...)
	p.latest(0)
}

func TestGivingUpAndRetry(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "5ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(refused, broken)
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	via.down()
	p.click("#connect")
	p.wait(`document.getElementById('retry-countdown').textContent === 'Gave up after 8 more tries.'`)
	p.wait(`document.body.dataset.state === 'error' && document.getElementById('retry').textContent === 'Retry'`)
	// The first attempt and eight more, and then none.
	n := p.streamRequests()
	if n != 9 {
		t.Errorf("%d requests for a stream, want 9", n)
	}
	p.stays(time.Second, `document.body.dataset.state === 'error'`)
	if now := p.streamRequests(); now != n {
		t.Errorf("%d more requests after the page had given up", now-n)
	}
	via.up()
	p.click("#retry")
	p.state("connected")
	p.hidden("#error-banner")
	s.publish("t", seq(0, 1)...)
	p.latest(0)
}

// answers counts the requests for a stream, and answers them all alike.
type answers struct {
	status int
	header http.Header
	body   string

	mu sync.Mutex
	at []time.Time
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/sse-stream" {
		a.mu.Lock()
		a.at = append(a.at, time.Now())
		a.mu.Unlock()
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (a *answers) times() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.at)
}

func problemJSON(status int, detail string) string {
	return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":%q}`, http.StatusText(status), status, detail)
}

func TestFinalRefusals(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "5ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	for _, code := range []int{400, 401, 403, 404, 410} {
		p.expect(status(code))
		detail := fmt.Sprintf("The reason for %d, <b>in words</b>.", code)
		a := &answers{status: code, header: http.Header{"Content-Type": {"application/problem+json"}}, body: problemJSON(code, detail)}
		via.answer(a)
		p.click("#connect")
		p.state("error")
		p.wait(`document.getElementById('error-message').textContent.includes('(%d)')`, code)
		p.says("#error-detail", detail)
		p.stays(300*time.Millisecond, `document.body.dataset.state === 'error' && !document.getElementById('retry-countdown').checkVisibility()`)
		if n := len(a.times()); n != 1 {
			t.Errorf("%d is final, but the page asked %d times", code, n)
		}
		p.click("#dismiss")
		p.state("disconnected")
	}
	via.answer(nil)
	p.connect()
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for _, code := range []int{429, 503} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			s := startServer(t, "-source", "t=http", "-retry", "5ms")
			via := startProxy(t, s.addr)
			p := openPage(t, via.url())
			p.expect(status(code), broken)
			p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
			a := &answers{status: code, header: http.Header{"Content-Type": {"text/plain"}, "Retry-After": {"3"}}, body: "Come back later.\n"}
			via.answer(a)
			p.click("#connect")
			p.state("error")
			p.wait(`document.getElementById('error-message').textContent.includes('(%d)')`, code)
			p.says("#error-detail", "Come back later.")
			p.wait(`document.getElementById('retry-countdown').textContent.startsWith('Next try in 3 s')`)
			p.wait(`document.getElementById('retry-countdown').textContent.startsWith('Next try in 1 s')`)
			eventually(t, func() bool { return len(a.times()) == 2 }, func() string { return "there was no second attempt" })
			at := a.times()
			if wait := at[1].Sub(at[0]); wait < 3*time.Second {
				t.Errorf("the second attempt came after %v, the server had asked for 3 s", wait)
			}
			// A person need not wait.
			p.state("error")
			via.answer(nil)
			p.retry()
			p.state("connected")
		})
	}
}

func TestServerErrorsAreRetried(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "5ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.expect(`status of 50\d`, broken)
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	for _, code := range []int{500, 502, 503} {
		a := &answers{status: code, header: http.Header{"Content-Type": {"text/html"}}, body: `<h1>Bad Gateway</h1><script>document.title = 'hit'</script>`}
		via.answer(a)
		p.click("#connect")
		eventually(t, func() bool { return len(a.times()) >= 3 }, func() string { return fmt.Sprintf("%d: %d attempts", code, len(a.times())) })
		via.answer(nil)
		p.state("connected")
		p.click("#disconnect")
		p.state("disconnected")
	}
	// An answer that is no stream is no event either, whoever sends it.
	via.answer(&answers{status: 200, header: http.Header{"Content-Type": {"text/html"}}, body: `<div class="data-item">a captive portal</div>`})
	p.click("#connect")
	p.wait(`document.getElementById('error-message').textContent.includes('not an event stream')`)
	if n := eval[int](p, `document.querySelectorAll('#sse-feed > *').length`); n != 0 {
		t.Errorf("%d rows in the feed come from what is no stream", n)
	}
	p.click("#disconnect")
	p.state("disconnected")
	if title := eval[string](p, `document.title`); title == "hit" {
		t.Error("a script of an error page ran")
	}
}

func TestNoContentStops(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-retry", "5ms")
	via := startProxy(t, s.addr)
	p := openPage(t, via.url())
	p.wait(`window.htmx && document.body.dataset.state === 'disconnected'`)
	a := &answers{status: http.StatusNoContent}
	via.answer(a)
	p.click("#connect")
	p.wait(`document.getElementById('notice-banner').dataset.notice === 'nothing' && document.getElementById('notice-banner').checkVisibility()`)
	p.stays(500*time.Millisecond, `document.body.dataset.state === 'disconnected' && !document.getElementById('error-banner').checkVisibility()`)
	if n := len(a.times()); n != 1 {
		t.Errorf("the page asked %d times", n)
	}
}
