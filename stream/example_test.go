package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// A source of one's own: a function that publishes until its context is done,
// registered under a name that -source and ParseSourceSpec then know.
func ExampleRegisterSource() {
	stream.RegisterSource("countdown", func(argument string) (stream.Source, error) {
		from, err := strconv.Atoi(argument)
		if err != nil {
			return nil, fmt.Errorf("countdown needs a number: %w", err)
		}
		return stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			for n := from; n > 0; n-- {
				if err := p.Publish(ctx, stream.Event{Data: []byte(strconv.Itoa(n))}); err != nil {
					return err // the source is run again after a while
				}
			}
			return nil // the topic has ended
		}), nil
	})

	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	spec, _ := stream.ParseSourceSpec("launch=countdown:3")
	source, _ := spec.Open()
	_ = hub.AddTopic(spec.Topic)
	server := httptest.NewServer(&stream.Handler{Hub: hub})
	defer server.Close()

	response, err := server.Client().Get(server.URL + "/?topic=launch")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	messages := sse.NewDecoder(response.Body)
	_, _ = messages.Next() // connected
	_ = hub.AddSource(spec.Topic, source)
	for {
		message, err := messages.Next()
		if err != nil {
			return
		}
		if event, err := stream.ParseCloudEvent(message.Data); err == nil {
			fmt.Println(message.Event, string(event.Data))
		} else {
			fmt.Println(message.Event, string(message.Data))
		}
	}
	// Output:
	// message 3
	// message 2
	// message 1
	// close {"reason":"the source has ended"}
}

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
