package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A source that waits for its file says nothing on the stream. The page tells of it until
// the topic is well.
func TestTopicThatIsUnwellIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.log")
	s := startServer(t, "-source", "t=file:"+path)
	p := openPage(t, s.url())
	p.connect()
	p.wait(`document.querySelector('[data-notice=stream-error]')?.checkVisibility() && document.querySelector('[data-notice=stream-error]').textContent.includes('has failed: what it reads is not there')`)
	if err := os.WriteFile(path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.total(1)
	p.wait(`!document.querySelector('[data-notice=stream-error]')?.checkVisibility()`)
}

// A fault that lasts is one row, and has the time since when it does, whoever comes when,
// and however often.
func TestOneFaultIsOneRow(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-source", "worse=exec:false", "-retry", "100ms")
	type topic struct {
		Source  string  `json:"source"`
		Seconds float64 `json:"source_state_seconds"`
	}
	since := func() time.Time {
		var h struct {
			Topics map[string]topic `json:"topics"`
		}
		eventually(t, func() bool {
			s.getJSON("/sse-health?topic=worse", &h)
			return h.Topics["worse"].Source == "down" && h.Topics["worse"].Seconds > 3 // else when the page is told is near
		}, func() string { return fmt.Sprint(h.Topics) })
		return time.Now().Add(-time.Duration(h.Topics["worse"].Seconds * float64(time.Second)))
	}
	want := since()
	at := func(p *page) float64 {
		t.Helper()
		p.wait(`document.querySelectorAll('#sse-feed > [data-note=stream-error]').length === 1 && document.querySelector('[data-notice=stream-error]')?.checkVisibility()`)
		ms := eval[float64](p, `Number(document.querySelector('#sse-feed > [data-note=stream-error]').dataset.at)`)
		if off := time.UnixMilli(int64(ms)).Sub(want).Abs(); off > time.Second {
			t.Errorf("the fault of %v has the time %v", want, time.UnixMilli(int64(ms)))
		}
		if !eval[bool](p, `document.getElementById('notice-message').textContent.startsWith(document.querySelector('#sse-feed > [data-note=stream-error] time').textContent)`) {
			t.Errorf("the row and the banner have not the same time: %q", p.text("#notice-message"))
		}
		return ms
	}
	p := openPage(t, s.url()+"/t/worse")
	p.connect()
	first := at(p)
	again := func() {
		t.Helper()
		p.state("connected")
		p.wait(`document.getElementById('stream-connection').checkVisibility() && !document.querySelector('#sse-feed > [data-note=recovered]')`)
		if now := at(p); now != first {
			t.Errorf("one fault has two times, %v and %v", first, now)
		}
	}
	p.click("#disconnect")
	p.state("disconnected")
	p.connect()
	again()
	p.reload()
	again()
	p.choose("t")
	p.choose("worse")
	again()
	other := openPage(t, s.url()+"/t/worse")
	other.connect()
	if got := at(other); got != first {
		t.Errorf("one fault has the time %v in one browser, and %v in another", first, got)
	}
}
