package source_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/source"
	"weir/stream/streamtest"
)

// The last lines are not lost where events take the way over a broker: the
// topic ends behind them.
func TestEndBehindLastLine(t *testing.T) {
	for range 50 {
		hub := stream.NewHub(stream.HubOptions{Broker: new(streamtest.MemoryBroker), Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(hub.Close)
		if err := hub.AddTopic("lines"); err != nil {
			t.Fatal(err)
		}
		if err := hub.AddSource("lines", source.NewStdin(strings.NewReader(strings.Repeat("x\n", 200)))); err != nil {
			t.Fatal(err)
		}
		log, err := hub.Reader("lines")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for cursor := log.From(stream.ID{}); ; {
			batch, err := cursor.Next(t.Context())
			var ended *eventlog.Ended
			if errors.As(err, &ended) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n += len(batch)
		}
		if n != 200 {
			t.Fatalf("the topic has ended after %d of 200 lines", n)
		}
	}
}
