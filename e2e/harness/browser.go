package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// A Tab is a page in a browser of its own.
type Tab struct {
	t   *testing.T
	ctx context.Context
}

// OpenTab starts a Chromium that trusts nginx's certificate, and goes to a page.
func OpenTab(t *testing.T, url string) *Tab {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", Cert.Pin),
		chromedp.WindowSize(1280, 900),
	)
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		stop()
		stopAlloc()
	})
	p := &Tab{t, ctx}
	// The browser itself lives as long as the context of the first action.
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err := <-started:
		if err != nil {
			t.Fatal("starting the browser: ", err)
		}
	case <-time.After(2 * Patience):
		t.Fatal("the browser did not start")
	}
	p.Do(chromedp.Navigate(url))
	return p
}

func findBrowser(t *testing.T) string {
	t.Helper()
	var errs error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		path, err := exec.LookPath(name)
		if err == nil {
			return path
		}
		errs = errors.Join(errs, err)
	}
	t.Fatalf("a browser is needed: make deps installs it\n%v", errs)
	return ""
}

// Do runs actions of chromedp, in bounded time.
func (p *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// Before has a script run in each document that the tab goes to, before its own.
func (p *Tab) Before(script string) {
	p.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// Go goes to another page.
func (p *Tab) Go(url string) { p.t.Helper(); p.Do(chromedp.Navigate(url)) }

// Listen is a script that keeps, in window.heard, what every EventSource of the page
// is given: see [Heard].
const Listen = `window.heard = []; window.EventSource = class extends EventSource {
	constructor(url, init) {
		super(url, init)
		for (const type of ['message', 'gap', 'close']) this.addEventListener(type, (e) => heard.push({ url, type, id: e.lastEventId, data: e.data }))
	}
}`

// A Heard is one event that an EventSource was given.
type Heard struct{ URL, Type, ID, Data string }

// Heard returns what has been kept for the EventSources at URLs that begin so.
func (p *Tab) Heard(url string) []Heard {
	p.t.Helper()
	return Evaluate[[]Heard](p, `heard.filter((h) => h.url.startsWith(%q))`, url)
}

// Evaluate returns the value of a JavaScript expression in the page.
func Evaluate[T any](p *Tab, format string, args ...any) T {
	p.t.Helper()
	v, err := tryEvaluate[T](p, fmt.Sprintf(format, args...))
	if err != nil {
		p.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return v
}

func tryEvaluate[T any](p *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Wait waits until a JavaScript expression is true. While the page is being
// replaced by another it is not.
func (p *Tab) Wait(format string, args ...any) {
	p.t.Helper()
	condition := fmt.Sprintf(format, args...)
	deadline := time.Now().Add(Patience)
	for {
		is, err := tryEvaluate[bool](p, "Boolean("+condition+")")
		if is {
			return
		}
		if time.Now().After(deadline) {
			says, _ := tryEvaluate[string](p, "(document.body.dataset.state ?? '') + ' ' + document.body.innerText")
			p.t.Fatalf("never came true: %s (%v); the page says: %s", condition, err, says)
		}
		Pause(20 * time.Millisecond)
	}
}
