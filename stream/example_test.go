package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// Hooks observe a hub. Each is optional; what Publish returns is told how it
// ended.
func ExampleHooks() {
	hub := stream.NewHub(stream.HubOptions{Hooks: stream.Hooks{
		Publish: func(_ context.Context, topic string, e *stream.Event) func(stream.ID, error) {
			began := time.Now()
			return func(_ stream.ID, err error) {
				fmt.Printf("%s: %s: error %v, quick %t\n", topic, e.Data, err, time.Since(began) < time.Minute)
			}
		},
	}})
	defer hub.Close()
	_ = hub.AddTopic("room")
	_, _ = hub.Publish(context.Background(), "room", stream.Event{Data: []byte(`{"temperature":21.5}`)})
	_ = hub.EndTopic("room", "the sensor is sold")
	_, _ = hub.Publish(context.Background(), "room", stream.Event{Data: []byte(`{"temperature":22}`)})
	// Output:
	// room: {"temperature":21.5}: error <nil>, quick true
	// room: {"temperature":22}: error the topic has ended, quick true
}

// A Decoder reads any text/event-stream, to the rules of the specification.
func ExampleDecoder() {
	body := strings.NewReader("retry: 2000\n\n: a comment\nid: 7\ndata: two\ndata: lines\n\nevent: ping\ndata: {}\n\n")
	messages := sse.NewDecoder(body)
	for {
		message, err := messages.Next()
		if errors.Is(err, io.EOF) {
			break // come back after messages.Retry(), with messages.LastEventID()
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %q\n", message.Event, message.Data)
	}
	fmt.Println(messages.Retry(), messages.LastEventID())
	// Output:
	// message "two\nlines"
	// ping "{}"
	// 2s 7
}
