package main

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// defaultJaegerUI is where a Jaeger on this machine has its pages.
const defaultJaegerUI = "http://127.0.0.1:16686"

// A jaegerProbe finds out whether a Jaeger answers at the default address, so
// that the page's links lead somewhere. It asks at most every few seconds, and
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, defaultJaegerUI+"/api/services", nil)
	if err == nil {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				found = defaultJaegerUI
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = found
}
