package stack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A tab is a page in a browser of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func openTab(t *testing.T, url string) *tab {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", pin),
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
	p := &tab{t, ctx}
	// The browser itself lives as long as the context of the first action.
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err := <-started:
		if err != nil {
			t.Fatal("starting the browser: ", err)
		}
	case <-time.After(2 * patience):
		t.Fatal("the browser did not start")
	}
	p.do(chromedp.Navigate(url))
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

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func evaluate[T any](p *tab, format string, args ...any) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf(format, args...)))
	if err != nil {
		p.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return v
}

// wait waits until a JavaScript expression is true.
func (p *tab) wait(format string, args ...any) {
	p.t.Helper()
	condition := fmt.Sprintf(format, args...)
	deadline := time.Now().Add(patience)
	for !evaluate[bool](p, "Boolean(%s)", condition) {
		if time.Now().After(deadline) {
			p.t.Fatalf("never came true: %s; the page says: %s", condition, evaluate[string](p, "document.body.dataset.state + ' ' + document.body.innerText"))
		}
		pause(20 * time.Millisecond)
	}
}

const newest = `[...document.querySelectorAll('#sse-feed .data-item [data-measure=seq]')].at(-1)?.dataset.value`

// The page itself, through nginx over HTTP/2, on two nodes: the node that it is on
// is killed, and the page goes on on the other one.
func TestPageGoesOnOnAnotherNode(t *testing.T) {
	t.Parallel()
	redis := startRedis(t).url()
	nodes := map[string]*node{}
	var all []*node
	for _, name := range []string{"one", "two"} {
		nodes[name] = startNode(t, name, "-redis", redis, "-source", "t=http", "-retry", "500ms")
		all = append(all, nodes[name])
	}
	p := startProxy(t, all...)
	page := openTab(t, p.url()+"/")
	page.do(chromedp.Click(chromedp.CSS("#connect"), chromedp.NodeVisible))
	page.wait(`document.body.dataset.state === 'connected'`)
	if protocol := evaluate[string](page, `performance.getEntriesByType('navigation')[0].nextHopProtocol`); protocol != "h2" {
		t.Errorf("the browser speaks %q with nginx, want h2", protocol)
	}
	// Every event that the page shows, also those that it has let go again.
	evaluate[chromedp.Void](page, `void (window.shown = [], new MutationObserver((records) => {
		for (const { addedNodes } of records) for (const node of addedNodes) {
			if (node.classList?.contains('data-item')) shown.push(Number(node.querySelector('[data-measure=seq]').dataset.value));
		}
	}).observe(document.getElementById('sse-feed'), { childList: true }))`)

	client := newClient(2, "")
	client.Timeout = patience
	n := 0
	events := func(count int) {
		t.Helper()
		for range count {
			eventually(t, func() bool {
				_, _, err := publish(client, p.url(), "t", fmt.Sprintf(`{"seq":%d}`, n))
				return err == nil
			}, "an event could not be published")
			n++
		}
	}
	events(10)
	page.wait(`%s === '9'`, newest)
	for range 2 {
		var on *node
		eventually(t, func() bool {
			for _, candidate := range nodes {
				if candidate.streams(t) > 0 {
					on = candidate
				}
			}
			return on != nil
		}, "the page is on no node")
		on.kill()
		events(10) // while the page is away, or on its way to the other node
		page.wait(`document.body.dataset.state === 'connected' && %s === '%d'`, newest, n-1)
		on.start(t)
		events(5)
		page.wait(`%s === '%d'`, newest, n-1)
	}
	shown := evaluate[[]int](page, `shown`)
	for i, seq := range shown {
		if seq != i {
			t.Fatalf("the page showed %v", shown)
		}
	}
	if len(shown) != n {
		t.Errorf("the page showed %d events of %d", len(shown), n)
	}
}
