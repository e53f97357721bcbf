// Contract puts weir/stream/sse under LaunchDarkly's sse-contract-tests, the
// public tests of what a client of Server-Sent Events must do. It is the test
// service that their docs/service_spec.md describes. The tests are a program of
// their own, which no Go module proxy serves, so that make test cannot run them:
//
//	git clone https://github.com/launchdarkly/sse-contract-tests
//	(cd sse-contract-tests && go build -o /tmp/sse-contract-tests .)
//	go run ./e2e/clients/contract &
//	/tmp/sse-contract-tests -url http://127.0.0.1:8000 -stop-service-at-end
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"weir/stream/sse"
)

// capabilities are the optional parts that the client has. It has no comments
// and, as nobody needs it who can leave the loop, no restart.
const capabilities = `["bom","headers","last-event-id","post","report","read-timeout","server-directed-shutdown-request"]`

type params struct {
	StreamURL, CallbackURL        string
	InitialDelayMS, ReadTimeoutMS *int64
	LastEventID                   string
	Headers                       map[string]string
	Method, Body                  string
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "`HOST:PORT` to listen on")
	flag.Parse()
	var mu sync.Mutex
	streams := map[string]context.CancelFunc{}

	http.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"capabilities":%s}`, capabilities)
	})
	http.HandleFunc("DELETE /{$}", func(http.ResponseWriter, *http.Request) { os.Exit(0) })
	http.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		var p params
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		mu.Lock()
		id := fmt.Sprint("/streams/", len(streams)+1)
		streams[id] = cancel
		mu.Unlock()
		go read(ctx, p)
		w.Header().Set("Location", id)
		w.WriteHeader(http.StatusCreated)
	})
	http.HandleFunc("DELETE /streams/", func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if cancel := streams[r.URL.Path]; cancel != nil {
			cancel()
		}
	})
	log.Fatal(http.ListenAndServe(*addr, nil))
}

// read tells the tests what the client yields.
func read(ctx context.Context, p params) {
	calls := 0
	tell := func(what map[string]any) {
		calls++
		body, _ := json.Marshal(what)
		resp, err := http.Post(fmt.Sprint(p.CallbackURL, "/", calls), "application/json", bytes.NewReader(body))
		if err == nil {
			_ = resp.Body.Close()
		}
	}
	o := &sse.Options{LastEventID: p.LastEventID, Header: http.Header{}, Retry: time.Second}
	if p.InitialDelayMS != nil {
		o.Retry = max(time.Duration(*p.InitialDelayMS), 1) * time.Millisecond
	}
	if p.ReadTimeoutMS != nil {
		o.IdleTimeout = time.Duration(*p.ReadTimeoutMS) * time.Millisecond
	}
	for name, value := range p.Headers {
		o.Header.Set(name, value)
	}
	o.Prepare = func(r *http.Request) error {
		if p.Method != "" {
			r.Method, r.Body, r.ContentLength = p.Method, io.NopCloser(strings.NewReader(p.Body)), int64(len(p.Body))
		}
		return nil
	}
	o.Lost = func(err error, _ time.Duration) { tell(map[string]any{"kind": "error", "error": err.Error()}) }
	for m, err := range sse.Read(ctx, p.StreamURL, o) {
		switch {
		case ctx.Err() != nil:
		case err != nil:
			tell(map[string]any{"kind": "error", "error": err.Error()})
		default:
			tell(map[string]any{"kind": "event", "event": map[string]string{"type": m.Event, "data": string(m.Data), "id": m.ID}})
		}
	}
}
