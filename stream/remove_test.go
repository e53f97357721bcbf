package stream_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

// A countingBroker counts the logs that follow it. Letting go, if set, is called
// when a log no longer does.
type countingBroker struct {
	streamtest.MemoryBroker
	lettingGo func()

	mu        sync.Mutex
	following map[string]int
}

func (b *countingBroker) Follow(topic string, log *eventlog.Log, report func(error)) func() {
	b.count(topic, +1)
	stop := b.MemoryBroker.Follow(topic, log, report)
	return sync.OnceFunc(func() {
		stop()
		b.count(topic, -1)
		if b.lettingGo != nil {
			b.lettingGo()
		}
	})
}

func (b *countingBroker) count(topic string, change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.following == nil {
		b.following = make(map[string]int)
	}
	b.following[topic] += change
}

func (b *countingBroker) followers(topic string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.following[topic]
}

// A topic that is removed, or whose hub is closed, while it is being made is
// followed no longer than any other.
func TestRemovedWhileItIsMade(t *testing.T) {
	for name, end := range map[string]func(*stream.Hub){
		"removed": func(h *stream.Hub) { _ = h.RemoveTopic("a") },
		"closed":  (*stream.Hub).Close,
	} {
		broker := &countingBroker{}
		var hub *stream.Hub
		hub = stream.NewHub(stream.HubOptions{Broker: broker, Hooks: stream.Hooks{
			Topic: func(string, string) { end(hub) }, // the topic is there, and is not followed yet
		}})
		if err := hub.AddTopic("a"); err != nil {
			t.Fatal(err)
		}
		if n := broker.followers("a"); n != 0 {
			t.Errorf("%s: %d followers are left", name, n)
		}
		hub.Close()
	}
}

// A topic that is removed, or was idle for its time, is not followed any more.
func TestRemovedTopicIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &countingBroker{}
		hub := stream.NewHub(stream.HubOptions{Broker: broker, OnDemand: onDemand("run", stream.TopicOptions{IdleTTL: time.Minute})})
		defer hub.Close()
		if err := hub.AddTopic("a"); err != nil {
			t.Fatal(err)
		}
		if _, err := hub.Publish(t.Context(), "run.1", stream.Event{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if a, run := broker.followers("a"), broker.followers("run.1"); a != 1 || run != 1 {
			t.Fatalf("followers at first: %d and %d", a, run)
		}
		if err := hub.RemoveTopic("a"); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		if a, run := broker.followers("a"), broker.followers("run.1"); a != 0 || run != 0 {
			t.Errorf("followers at the end: %d of the removed topic, %d of the idle one", a, run)
		}
	})
}

// A publisher does not wait for a broker that lets go of a topic slowly.
func TestPublishWhileTheBrokerLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		hub := stream.NewHub(stream.HubOptions{Broker: &countingBroker{lettingGo: func() { <-released }}})
		defer hub.Close()
		if err := hub.AddTopic("a"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- hub.RemoveTopic("a") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := hub.Publish(ctx, "a", stream.Event{Data: []byte("1")}); !errors.Is(err, stream.ErrNoTopic) {
			t.Errorf("publishing to what is removed: %v", err)
		}
		close(released)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Who publishes to a topic in the middle of its removal, or opens it, waits
// without taking a processor, until the topic is gone or the context ends.
func TestRemovalIsAwaited(t *testing.T) {
	for name, use := range map[string]func(context.Context, *fixture) error{
		"publish": func(ctx context.Context, f *fixture) error {
			_, err := f.hub.Publish(ctx, "a", stream.Event{Data: []byte("1")})
			return err
		},
		"subscribe": func(ctx context.Context, f *fixture) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://weir/", nil)
			if err != nil {
				return err
			}
			resp, err := f.client.Do(r)
			if err == nil {
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusNotFound {
					return errors.New(resp.Status)
				}
				err = stream.ErrNoTopic
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
				remove := stream.BeginRemoval(f.hub, "a")
				// In a bubble no time passes while somebody is busy: who spins
				// would keep this from coming.
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := use(ctx, f); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the removal does not end: %v", err)
				}
				time.AfterFunc(time.Second, remove)
				if err := use(t.Context(), f); !errors.Is(err, stream.ErrNoTopic) {
					t.Errorf("after the removal: %v", err)
				}
			})
		})
	}
}
