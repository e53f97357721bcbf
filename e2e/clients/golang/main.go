// Clients reads a stream with one of the Go libraries for Server-Sent Events:
// clients LIBRARY URL. Each thing that the library sees is one line of JSON. It
// is a module of its own, so that none of them is in Weir's.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

type sight struct {
	Kind  string `json:"kind"`
	Event string `json:"event,omitempty"`
	ID    string `json:"id,omitempty"`
	Data  string `json:"data,omitempty"`
	Text  string `json:"text,omitempty"`
}

func say(s sight) {
	if s.Kind == "event" && s.Event == "" {
		s.Event = "message"
	}
	line, _ := json.Marshal(s)
	fmt.Println(string(line))
}

func fail(kind string, err error) {
	say(sight{Kind: kind, Text: fmt.Sprint(err)})
}

// largest is the largest event that is expected: two of the libraries take 64 KiB
// unless they are told.
const largest = 4 << 20

func main() {
	library, url := os.Args[1], os.Args[2]
	var err error
	switch library {
	case "go-sse":
		err = readGoSSE(url)
	case "r3labs":
		err = readR3labs(url)
	case "launchdarkly":
		err = readLaunchdarkly(url)
	default:
		err = fmt.Errorf("no library %q", library)
	}
	fail("closed", err)
}

func readGoSSE(url string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := tmaxmax.Client{OnRetry: func(err error, _ time.Duration) { fail("error", err) }}
	conn := client.NewConnection(req)
	conn.Buffer(nil, largest)
	conn.SubscribeToAll(func(e tmaxmax.Event) {
		say(sight{Kind: "event", Event: e.Type, ID: e.LastEventID, Data: e.Data})
	})
	return conn.Connect()
}

func readR3labs(url string) error {
	client := r3labs.NewClient(url, r3labs.ClientMaxBufferSize(largest))
	client.ReconnectNotify = func(err error, _ time.Duration) { fail("error", err) }
	ctx, leave := context.WithCancel(context.Background())
	for {
		err := client.SubscribeRawWithContext(ctx, func(m *r3labs.Event) {
			say(sight{Kind: "event", Event: string(m.Event), ID: string(m.ID), Data: string(m.Data)})
			if string(m.Event) == "close" { // it does not know 204
				leave()
			}
		})
		if err != nil || ctx.Err() != nil {
			return err
		}
		// It takes the end of a stream for the end of everything: its program
		// has to go on.
		fail("error", err)
		time.Sleep(500 * time.Millisecond)
	}
}

func readLaunchdarkly(url string) error {
	stream, err := launchdarkly.SubscribeWithURL(url,
		launchdarkly.StreamOptionCanRetryFirstConnection(-1),
		launchdarkly.StreamOptionErrorHandler(func(err error) launchdarkly.StreamErrorHandlerResult {
			fail("error", err)
			refused, ok := err.(launchdarkly.SubscriptionError)
			return launchdarkly.StreamErrorHandlerResult{CloseNow: ok && refused.Code == http.StatusNoContent}
		}))
	if err != nil {
		return err
	}
	for e := range stream.Events {
		say(sight{Kind: "event", Event: e.Event(), ID: e.Id(), Data: e.Data()})
	}
	return nil
}
