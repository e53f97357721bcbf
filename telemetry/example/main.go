// Command example puts Weir's spans and metrics on somebody else's SSE handler: one
// that has nothing of package stream but the hooks, which it calls as it goes.
//
// It tells how long it took until the first flush, of the segments of each open
// stream, of deliveries and their latency, and of the journeys of sampled events. It
// cannot tell of lag, gaps and replays, for which it would need a log and cursors:
// it has a channel for each client, and drops what does not fit. And its segments
// do not say how much went out: that is read from the stream.Conn of Weir's own handler.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry"
)

// A broadcast is the handler as it is usually written.
type broadcast struct {
	hooks stream.Hooks

	mu      sync.Mutex
	clients map[chan *eventlog.Entry]bool
	last    eventlog.ID
}

func (b *broadcast) publish(ctx context.Context, data string) {
	e := &stream.Event{Type: "tick", Data: []byte(data)}
	done := b.hooks.Publish(ctx, "ticks", e) // begins the trace
	b.mu.Lock()
	b.last = b.last.Next(time.Now())
	e.ID = b.last
	entry := &eventlog.Entry{ID: e.ID, Event: e, At: time.Now()}
	for c := range b.clients {
		select {
		case c <- entry:
		default: // too slow: the event is lost, and nobody is told
		}
	}
	b.mu.Unlock()
	done(e.ID, nil)
}

func (b *broadcast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := make(chan *eventlog.Entry, 16)
	b.mu.Lock()
	b.clients[c] = true
	b.mu.Unlock()
	defer func() { b.mu.Lock(); delete(b.clients, c); b.mu.Unlock() }()

	conn := &stream.Conn{ID: r.RemoteAddr, Topic: "ticks", Label: "ticks", Protocol: "1.1", Client: r.RemoteAddr, UserAgent: r.UserAgent(), Started: time.Now()}
	hooks := b.hooks.Connect(r, conn)
	defer hooks.Disconnect(stream.CloseClient, nil)
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush() // a client that has gone is found below
	hooks.Open(time.Now())
	for {
		select {
		case <-r.Context().Done():
			return
		case entry := <-c:
			f := &stream.Flush{Entries: []*eventlog.Entry{entry}, Events: 1, Began: time.Now()}
			if entry.Event.Tag != nil {
				f.Tagged = f.Entries
			}
			f.Bytes, _ = fmt.Fprintf(w, "id: %s\ndata: %s\n\n", entry.ID, entry.Event.Data) // likewise
			_ = http.NewResponseController(w).Flush()                                       // likewise
			f.Ended = time.Now()
			hooks.Flush(f)
		}
	}
}

func main() {
	tel, err := telemetry.Setup(context.Background(), telemetry.Options{ServiceName: "example", EventTypes: []string{"tick"}})
	if err != nil {
		log.Fatal(err)
	}
	b := &broadcast{hooks: tel.Hooks(), clients: map[chan *eventlog.Entry]bool{}}
	go func() {
		for now := range time.Tick(time.Second) {
			b.publish(context.Background(), now.Format(time.TimeOnly))
		}
	}()
	http.Handle("/events", tel.Middleware("/events", b))
	http.Handle("/metrics", tel.MetricsHandler())
	log.Fatal(http.ListenAndServe("127.0.0.1:8089", nil)) //nolint:gosec // an example
}
