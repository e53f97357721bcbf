package stream_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

// A slowStart is a broker that begins to follow a second after it is asked to.
type slowStart struct{ *streamtest.MemoryBroker }

func (b slowStart) Follow(topic string, log *eventlog.Log, report func(error)) (stop func()) {
	followed := make(chan func(), 1)
	go func() {
		time.Sleep(time.Second)
		followed <- b.MemoryBroker.Follow(topic, log, report)
	}()
	return func() { (<-followed)() }
}

// TestReceiveIsOfWhatComes: Hooks.Receive is not called for what the broker held when the
// topic was made here. It is called for the very first event of a topic that its publishing
// makes, though the log gets it with what was before.
func TestReceiveIsOfWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := slowStart{new(streamtest.MemoryBroker)}
		var received string
		hub := func(name string) *stream.Hub {
			return stream.NewHub(stream.HubOptions{Broker: broker,
				OnDemand: func(string) (stream.TopicOptions, bool) { return stream.TopicOptions{}, true },
				Hooks: stream.Hooks{
					Publish: func(_ context.Context, _ string, e *stream.Event) func(stream.ID, error) {
						e.Origin.Published = time.Now()
						return nil
					},
					Receive: func(_ string, e *stream.Event) { received += fmt.Sprintf("%s%s ", name, e.Data) },
				},
			})
		}
		publish := func(h *stream.Hub, data string) {
			t.Helper()
			if _, err := h.Publish(t.Context(), "t", stream.Event{Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		a := hub("a")
		publish(a, "1")
		publish(a, "2")
		a.Close()
		b := hub("b")
		defer b.Close()
		publish(b, "3")
		publish(b, "4")
		if health, err := b.TopicHealth("t"); err != nil || health.Log.Entries != 4 {
			t.Errorf("the second log holds %+v, %v", health.Log, err)
		}
		if want := "a1 a2 b3 b4 "; received != want {
			t.Errorf("received were %q, want %q", received, want)
		}
	})
}
