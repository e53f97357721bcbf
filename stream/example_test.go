package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// A user is somebody who has logged in, by whatever means the program has.
type user struct {
	id    string
	until time.Time
}

func session(r *http.Request) (user, bool) {
	c, err := r.Cookie("session")
	if err != nil {
		return user{}, false
	}
	return user{id: c.Value, until: time.Now().Add(time.Hour)}, true
}

// A stream for each user: topics are made on demand, Subscribe says who reads
// what until when, and a page needs no more than new EventSource("/events").
func Example() {
	hub := stream.NewHub(stream.HubOptions{
		OnDemand: func(topic string) (stream.TopicOptions, bool) {
			return stream.TopicOptions{Label: "user", IdleTTL: time.Hour}, strings.HasPrefix(topic, "user.")
		},
	})
	defer hub.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /events", &stream.Handler{Hub: hub, Format: stream.FormatData,
		Subscribe: func(r *http.Request) (*stream.Subscription, error) {
			u, ok := session(r)
			if !ok {
				return nil, &stream.Refusal{Status: http.StatusUnauthorized, Detail: "Log in first."}
			}
			sub, err := stream.ParseSubscription(r) // where it resumes
			if err != nil {
				return nil, err
			}
			sub.Topic, sub.Identity, sub.Expires = "user."+u.id, u.id, u.until
			return sub, nil
		}})
	server := httptest.NewServer(mux)
	defer server.Close()

	_, err := hub.Publish(context.Background(), "user.42", stream.Event{Name: "order", Data: []byte(`{"id":7}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	options := &sse.Options{Header: http.Header{"Cookie": {"session=42"}}, LastEventID: "0-0"} // from the beginning
	for msg, err := range sse.Read(context.Background(), server.URL+"/events", options) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if msg.Event == "order" {
			fmt.Printf("%s %s\n", msg.Event, msg.Data)
			break
		}
	}
	response, err := http.Get(server.URL + "/events")
	if err == nil {
		fmt.Println(response.Status)
		response.Body.Close()
	}
	// Output:
	// order {"id":7}
	// 401 Unauthorized
}

// A format of one's own: the name and the data of the event on the wire.
func ExampleFormatter() {
	hub := stream.NewHub(stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
		"size": func(dst []byte, topic string, e *stream.Event) (string, []byte, error) {
			return topic, strconv.AppendInt(dst, int64(len(e.Data)), 10), nil
		},
	}})
	defer hub.Close()
	_ = hub.AddTopic("words")
	_, _ = hub.Publish(context.Background(), "words", stream.Event{Data: []byte("weir")})
	_ = hub.EndTopic("words", "no more words")
	w := httptest.NewRecorder()
	(&stream.Handler{Hub: hub}).ServeHTTP(w, httptest.NewRequest("GET", "/?format=size&last_event_id=0", nil))
	for _, block := range bytes.Split(w.Body.Bytes(), []byte("\n\n")) {
		if name, data, _ := bytes.Cut(block, []byte("\n")); string(name) == "event: words" {
			fmt.Printf("%s, %s\n", name, bytes.Split(data, []byte("\n"))[0])
		}
	}
	// Output:
	// event: words, data: 4
}

// A reader within the program: it has no method that writes.
func ExampleHub_Reader() {
	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	_ = hub.AddTopic("prices")
	_, _ = hub.Publish(context.Background(), "prices", stream.Event{Data: []byte("1.17")}, stream.Event{Data: []byte("1.18")})
	_ = hub.EndTopic("prices", "the market is closed")
	reader, err := hub.Reader("prices")
	if err != nil {
		fmt.Println(err)
		return
	}
	for cursor := reader.Newest(1); ; {
		entries, err := cursor.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range entries {
			fmt.Println(string(e.Event.Data))
		}
	}
	// Output:
	// 1.18
	// the topic has ended: the market is closed
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
