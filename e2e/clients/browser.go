//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A browser is a Chromium for all clients that live in pages, and a site of
// another origin than Weir's.
type browser struct {
	ctx   context.Context
	site  string // URL of an empty page of the other origin
	here  string
	close func()
}

func startBrowser(ctx context.Context, m *matrix) (*browser, error) {
	path, err := find("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(m.dir, "profile")), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", m.cert.Pin))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>another site</title><body></body>")
	}))
	alloc, stopAlloc := chromedp.NewExecAllocator(ctx, opts...)
	browserCtx, stop := chromedp.NewContext(alloc)
	b := &browser{ctx: browserCtx, site: site.URL, here: m.here, close: func() {
		stop()
		stopAlloc()
		site.Close()
	}}
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(browserCtx) }()
	select {
	case err = <-started:
	case <-time.After(2 * patience):
		err = errors.New("it did not answer")
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return b, nil
}

// read opens a page, in a profile of its own, and has a client there read the
// stream at url. A page may hold six connections to a site over HTTP/1.1: those
// of other profiles do not count.
func (b *browser) read(ctx context.Context, c client, page, url string, see func(sight)) (func(), error) {
	libraries, err := b.libraries(c.library)
	if err != nil {
		return nil, err
	}
	tab, leave := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	stop := context.AfterFunc(ctx, leave)
	undo := func() {
		stop()
		leave()
	}
	if err := chromedp.Do(tab); err != nil {
		undo()
		return nil, err
	}
	err = chromedp.Listen(tab, func(event any) {
		switch event := event.(type) {
		case *runtime.EventConsoleAPICalled:
			var words [2]string
			if len(event.Args) != 2 || json.Unmarshal(event.Args[0].Value, &words[0]) != nil || json.Unmarshal(event.Args[1].Value, &words[1]) != nil || words[0] != "sight" {
				return
			}
			var s sight
			if err := json.Unmarshal([]byte(words[1]), &s); err == nil {
				see(s)
			}
		case *runtime.EventExceptionThrown:
			see(sight{Kind: "error", Text: event.ExceptionDetails.Text})
		}
	})
	if err == nil {
		// What is evaluated so is not bound by the page's Content-Security-Policy;
		// the connections that it makes are.
		err = chromedp.Do(tab, chromedp.Navigate(page),
			chromedp.Evaluate[chromedp.Void](libraries+"\nread("+quote(c.library)+","+quote(url)+")"))
	}
	if err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// libraries returns the scripts of a client, and the one that uses them.
func (b *browser) libraries(name string) (string, error) {
	files := map[string][]string{
		"event-source-polyfill":    {"event-source-polyfill/src/eventsource.js"},
		"reconnecting-eventsource": {"reconnecting-eventsource/dist/ReconnectingEventSource.min.js"},
		"htmx-2":                   {"htmx.org/dist/htmx.js", "htmx-ext-sse/sse.js"},
		"htmx-4":                   {"htmx-4/dist/htmx.js", "htmx-4/dist/ext/hx-sse.js"},
		"fetch-event-source":       {"@microsoft/fetch-event-source/lib/cjs/parse.js", "@microsoft/fetch-event-source/lib/cjs/fetch.js"},
	}[name]
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(b.here, "npm", "node_modules", filepath.FromSlash(file)))
		if err != nil {
			return "", err
		}
		if name == "fetch-event-source" {
			// Modules of Node's kind, which a bundler would put together.
			fmt.Fprintf(&all, "(function(exports, require) {%s\n})(globalThis, () => globalThis);\n", text)
			continue
		}
		fmt.Fprintf(&all, "%s\n;", text)
	}
	text, err := os.ReadFile(filepath.Join(b.here, "page.js"))
	return all.String() + string(text), err
}
