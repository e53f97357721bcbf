package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// defaultJaegerUI is where a Jaeger on this machine has its pages.
const defaultJaegerUI = "http://127.0.0.1:16686"

// jaegerUIRoot is the element in which Jaeger's interface draws its pages.
const jaegerUIRoot = "jaeger-ui-root"

// A jaegerProbe finds out whether a Jaeger with a user interface answers at the
// default address, so that the page's links lead somewhere: one that was built by
// Go alone has a placeholder in its place. It asks at most every few seconds, and
// never lets a caller wait.
type jaegerProbe struct {
	mu    sync.Mutex
	asked time.Time
	found string
}

const probeEvery = 5 * time.Second

// url returns the address, or "" while nothing answers there.
func (p *jaegerProbe) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) > probeEvery {
		p.asked = time.Now()
		go p.ask()
	}
	return p.found
}

func (p *jaegerProbe) ask() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	found := ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, defaultJaegerUI+"/", nil)
	if err == nil {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			start, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what came is looked at
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && bytes.Contains(start, []byte(jaegerUIRoot)) {
				found = defaultJaegerUI
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = found
}
