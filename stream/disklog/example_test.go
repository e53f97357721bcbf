package disklog_test

import (
	"log"

	"weir/stream"
	"weir/stream/disklog"
)

// A server whose topics go on after a restart where they were.
func Example() {
	broker, err := disklog.Open("/var/lib/weir", disklog.Options{Sync: true})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	hub := stream.NewHub(stream.HubOptions{Broker: broker})
	defer hub.Close() // before the broker's
	if err := hub.AddTopic("news"); err != nil {
		log.Fatal(err)
	}
}
