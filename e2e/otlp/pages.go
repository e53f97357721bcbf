package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"weir/stream/sse"
)

// openPages opens streams as pages do, each from an address of its own, which
// report once a second when the sampled events were on screen.
func openPages(ctx context.Context, address, stream string, n int) error {
	for i := range n {
		p := &page{address: address, from: fmt.Sprintf("203.0.113.%d", i%250+1)}
		req, err := http.NewRequestWithContext(ctx, "GET", stream, nil)
		if err != nil {
			return err
		}
		p.dress(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			return fmt.Errorf("a page gets %s", resp.Status)
		}
		go func() {
			defer resp.Body.Close()
			p.read(ctx, sse.NewDecoder(resp.Body))
		}()
	}
	return nil
}

type page struct {
	address, from     string
	connection, proof string
	reports           []map[string]any
	sent              time.Time
}

func (p *page) dress(r *http.Request) {
	r.Header.Set("X-Forwarded-For", p.from)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36")
}

func millis(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

func (p *page) read(ctx context.Context, d *sse.Decoder) {
	for {
		m, err := d.Next()
		if err != nil {
			return
		}
		var e struct{ Connection, Traceparent, ID string }
		_ = json.Unmarshal(m.Data, &e) // what is no object tells nothing
		switch {
		case m.Event == "connected":
			p.connection, p.proof = e.Connection, e.Traceparent
		case len(e.Traceparent) == 55 && e.Traceparent[54] == '1' && len(p.reports) < 100:
			now := time.Now()
			p.reports = append(p.reports, map[string]any{"topic": "bench", "id": e.ID, "traceparent": e.Traceparent, "received": millis(now), "shown": millis(now)})
		}
		if len(p.reports) > 0 && time.Since(p.sent) > time.Second {
			p.send(ctx)
		}
	}
}

func (p *page) send(ctx context.Context) {
	p.sent = time.Now()
	body, _ := json.Marshal(map[string]any{"now": millis(p.sent), "connection": p.connection, "proof": p.proof, "reports": p.reports}) // it can be encoded
	p.reports = nil
	req, err := http.NewRequestWithContext(ctx, "POST", p.address+"/telemetry/browser", bytes.NewReader(body))
	if err != nil {
		return
	}
	p.dress(req)
	req.Header.Set("Content-Type", "application/json")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
}
