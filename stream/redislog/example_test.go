package redislog_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"time"

	"weir/stream"
	"weir/stream/redislog"
)

// One of several nodes that serve the same topic.
func Example() {
	ctx := context.Background()
	broker, err := redislog.Open(ctx, redislog.Options{URL: "redis://127.0.0.1:6379"})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	hub := stream.NewHub(stream.HubOptions{Broker: broker})
	defer hub.Close()
	if err := hub.AddTopic("news"); err != nil {
		log.Fatal(err)
	}
	handler := &stream.Handler{Hub: hub}
	go broker.RunReports(ctx, 5*time.Second, func() redislog.NodeReport {
		return redislog.NodeReport{Connections: len(handler.Conns())}
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler))
}

// What an error of Publish means for the one who published.
func Example_unavailable() {
	var hub *stream.Hub // over a Broker of this package
	_, err := hub.Publish(context.Background(), "news", stream.Event{Data: []byte(`"hello"`)})
	switch {
	case errors.Is(err, redislog.ErrUnconfirmed):
		log.Print("it may be in: publishing it again may put it in twice")
	case errors.Is(err, stream.ErrUnavailable):
		log.Print("it is not in: publish it again later")
	case err != nil:
		log.Print("it is not in, and never will be: ", err)
	}
}

func ExampleBroker_Cluster() {
	var broker *redislog.Broker // from Open
	reports, err := broker.Cluster(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range reports {
		log.Printf("%s serves %d streams since %s", r.Node, r.Connections, r.Started)
	}
}
