package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

// A lateBroker brings events round a second after they were acknowledged.
type lateBroker struct{ streamtest.MemoryBroker }

func (b *lateBroker) Follow(topic string, log *eventlog.Log, report func(error)) (stop func()) {
	near := eventlog.New(eventlog.Options{Numbered: true})
	unfollow := b.MemoryBroker.Follow(topic, near, func(error) {})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		report(nil)
		for c := near.All().From(eventlog.ID{}); ; {
			entries, err := c.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				continue
			}
			time.Sleep(time.Second)
			for _, e := range entries {
				event := *e.Event
				_ = log.Insert(&event)
			}
		}
	}()
	return func() {
		cancel()
		<-over
		unfollow()
	}
}

// The end of a source comes behind the last event that it published, also where
// that takes a while to come round.
func TestSourceEndsBehindLateEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := stream.NewHub(stream.HubOptions{Broker: &lateBroker{}, Logger: slog.New(slog.DiscardHandler)})
		defer hub.Close()
		_ = hub.AddTopic("t")
		log, err := hub.Reader("t")
		if err != nil {
			t.Fatal(err)
		}
		c := log.Live()
		source := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			return p.Publish(ctx, stream.Event{Data: []byte("1")}, stream.Event{Data: []byte("2")})
		})
		if err := hub.AddSource("t", source); err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			entries, err := c.Next(t.Context())
			var ended *eventlog.Ended
			var gap *eventlog.Gap
			if errors.As(err, &ended) {
				break
			} else if err != nil && !errors.As(err, &gap) {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, string(e.Event.Data))
			}
		}
		if !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("got %q before the end", got)
		}
	})
}

// What would push itself out of every node's log is not given to the broker.
func TestTooLargeForTheLogOfANode(t *testing.T) {
	broker := &streamtest.MemoryBroker{}
	hub := stream.NewHub(stream.HubOptions{Broker: broker, Topic: stream.TopicOptions{History: 2}})
	defer hub.Close()
	_ = hub.AddTopic("t")
	three := []stream.Event{{Data: []byte("1")}, {Data: []byte("2")}, {Data: []byte("3")}}
	if _, err := hub.Publish(t.Context(), "t", three...); !errors.Is(err, stream.ErrTooLarge) {
		t.Errorf("three events where two are held: %v", err)
	}
	if _, err := hub.Publish(t.Context(), "t", three[:2]...); err != nil {
		t.Error(err)
	}
	other := stream.NewHub(stream.HubOptions{Broker: broker})
	defer other.Close()
	_ = other.AddTopic("t")
	if n := other.Health()["t"].Log.Entries; n != 2 {
		t.Errorf("the broker holds %d events, want 2", n)
	}
}

// The hook of a source hears of each failure, and of the recovery once.
func TestEachFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []int
		hub := stream.NewHub(stream.HubOptions{Logger: slog.New(slog.DiscardHandler), Hooks: stream.Hooks{Source: func(c stream.SourceChange) {
			if c.Err != nil || c.State == stream.SourceUp {
				told = append(told, c.Failures)
			}
		}}})
		_ = hub.AddTopic("t")
		runs := 0
		_ = hub.AddSource("t", stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			if runs++; runs <= 5 {
				return errors.New("broken")
			}
			for range 3 {
				if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if want := []int{1, 2, 3, 4, 5, 0}; !slices.Equal(told, want) {
			t.Errorf("told of %v failures in a row, want %v", told, want)
		}
		hub.Close()
	})
}
