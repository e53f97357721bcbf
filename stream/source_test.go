package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

// Whatever a source does with its context, the hub can be closed: Publish tells
// a loop that does not look at its context, and one that looks at nothing is
// left behind.
func TestCloseWithoutTheSource(t *testing.T) {
	for _, test := range []struct {
		name   string
		within time.Duration
		source stream.SourceFunc
	}{
		{"a loop over a ticker", time.Second, func(ctx context.Context, p stream.Publisher) error {
			for range time.Tick(time.Second) {
				if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a context of its own", time.Second, func(_ context.Context, p stream.Publisher) error {
			for {
				time.Sleep(time.Second)
				if err := p.Publish(context.Background(), stream.Event{Data: []byte("1")}); err != nil {
					return err
				}
			}
		}},
		{"one that minds nothing", 10 * time.Second, func(ctx context.Context, p stream.Publisher) error {
			for range 60 {
				time.Sleep(time.Second)
				_ = p.Publish(ctx, stream.Event{Data: []byte("1")})
				p.Fail(errors.New("on and on"))
			}
			return errors.New("at last")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said := new(streamtest.Buffer)
				hub := stream.NewHub(stream.HubOptions{Logger: slog.New(slog.NewTextHandler(said, nil))})
				if err := hub.AddTopic("t"); err != nil {
					t.Fatal(err)
				}
				if err := hub.AddSource("t", test.source); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5500 * time.Millisecond)
				began := time.Now()
				hub.Close()
				if took := time.Since(began); took > test.within {
					t.Errorf("Close took %v, want at most %v", took, test.within)
				}
				if left := strings.Contains(said.String(), "topics=[t]"); left != (test.within > time.Second) {
					t.Errorf("the log says %q", said)
				}
				log, err := hub.Reader("t")
				if err != nil {
					t.Fatal(err)
				}
				last := log.Last()
				time.Sleep(2 * time.Minute)
				if log.Last() != last {
					t.Error("events were published after Close")
				}
			})
		})
	}
}

// A panic of a source is logged with the stack on which it happened, once while it
// lasts, and is a failure like others.
func TestSourcePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := new(streamtest.Buffer)
		hub := stream.NewHub(stream.HubOptions{Logger: slog.New(slog.NewTextHandler(said, nil))})
		defer hub.Close()
		_ = hub.AddTopic("t")
		if err := hub.AddSource("t", stream.SourceFunc(panicking)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !strings.Contains(said.String(), "a fault in the plug-in") || !strings.Contains(said.String(), "stream_test.panicking") {
			t.Errorf("the log says %q", said)
		}
		if h := hub.Health()["t"].Source; h.State != stream.SourceFailing || h.Failures != 1 || h.Class() != "panic" {
			t.Errorf("health is %+v", h)
		}
		time.Sleep(time.Hour)
		if n := strings.Count(said.String(), "a source panicked"); n != 1 {
			t.Errorf("of a source that panics for an hour the log has %d stacks, want 1", n)
		}
	})
}

func panicking(context.Context, stream.Publisher) error { panic("a fault in the plug-in") }

// Health tells what an operator asks of a source: how often it was run again,
// and of what kind its last fault was.
func TestSourceHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := stream.NewHub(stream.HubOptions{Logger: slog.New(slog.DiscardHandler)})
		defer hub.Close()
		_ = hub.AddTopic("t")
		n := 0
		err := hub.AddSource("t", stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			switch n++; n {
			case 1:
				return stream.ErrRestart
			case 2:
				return context.DeadlineExceeded
			}
			_ = p.Publish(ctx, stream.Event{Data: []byte("{"), ContentType: stream.JSON})
			<-ctx.Done()
			return ctx.Err()
		}))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(time.Minute)
		h := hub.Health()["t"].Source
		if h.State != stream.SourceFailing || h.Failures != 2 || h.Total != 2 || h.Restarts != 2 || h.Class() != "invalid" || !h.Since.After(began) {
			t.Errorf("health is %+v, %s", h, h.Class())
		}
	})
	for class, err := range map[string]error{
		"": nil, "invalid": stream.ErrInvalid, "unavailable": stream.ErrUnavailable, "timeout": context.DeadlineExceeded, "other": errors.New("x"),
	} {
		if got := (stream.SourceHealth{Err: err}).Class(); got != class {
			t.Errorf("%v is of class %q, want %q", err, got, class)
		}
	}
}

// A checkpoint is kept together with the events, and only with them, also for
// the next process.
func TestPublishCheckpoint(t *testing.T) {
	broker := new(streamtest.MemoryBroker)
	for name, b := range map[string]stream.Broker{"with a broker": broker, "without": nil, "with one that keeps none": forgetful{new(streamtest.MemoryBroker)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := stream.NewHub(stream.HubOptions{Broker: b, Logger: slog.New(slog.DiscardHandler)})
				defer hub.Close()
				_ = hub.AddTopic("t")
				kept := func(p stream.CheckpointPublisher, want string) {
					t.Helper()
					if name == "with one that keeps none" {
						want = ""
					}
					if got, err := p.Checkpoint(t.Context()); err != nil || string(got) != want || (got == nil) != (want == "") {
						t.Errorf("the checkpoint is %q, %v, want %q", got, err, want)
					}
				}
				state := func() stream.SourceState { return hub.Health()["t"].Source.State }
				ran := make(chan struct{})
				err := hub.AddSource("t", stream.SourceFunc(func(ctx context.Context, publisher stream.Publisher) error {
					defer close(ran)
					p := publisher.(stream.CheckpointPublisher)
					kept(p, "")
					place := []byte("a")
					if err := p.PublishCheckpoint(ctx, place); err != nil || state() != "starting" {
						t.Errorf("a place alone: %v, the source is %s", err, state())
					}
					place[0] = 'x' // it is the caller's again
					kept(p, "a")
					if err := p.PublishCheckpoint(ctx, []byte("b"), stream.Event{Data: []byte("1")}, stream.Event{Data: []byte("2")}); err != nil || state() != stream.SourceUp {
						t.Errorf("with events: %v, the source is %s", err, state())
					}
					kept(p, "b")
					err := p.PublishCheckpoint(ctx, []byte("c"), stream.Event{Data: []byte("3")}, stream.Event{ContentType: stream.JSON, Data: []byte("{")})
					if !errors.Is(err, stream.ErrInvalid) || state() != stream.SourceFailing {
						t.Errorf("with an event that is not valid: %v, the source is %s", err, state())
					}
					kept(p, "b")
					<-ctx.Done()
					if err := p.PublishCheckpoint(context.Background(), []byte("d"), stream.Event{Data: []byte("4")}); !errors.Is(err, stream.ErrClosed) {
						t.Errorf("after Close: %v", err)
					}
					return ctx.Err()
				}))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				hub.Close()
				<-ran
			})
		})
	}
	if got, err := broker.Checkpoint(t.Context(), "t"); err != nil || string(got) != "b" {
		t.Errorf("the broker holds %q, %v", got, err)
	}
}

// A forgetful broker keeps no checkpoints.
type forgetful struct{ stream.Broker }

// The end of a source is the end of the topic in its process: behind the last
// event, and neither on other nodes nor in the next process.
func TestSourceEnds(t *testing.T) {
	broker := new(streamtest.MemoryBroker)
	one := func(text string) stream.SourceFunc {
		return func(ctx context.Context, p stream.Publisher) error {
			return p.Publish(ctx, stream.Event{Data: []byte(text)})
		}
	}
	for _, texts := range [][]string{{"1"}, {"1", "2"}, {"1", "2", "3"}} {
		hub := stream.NewHub(stream.HubOptions{Broker: broker, Logger: slog.New(slog.DiscardHandler)})
		_ = hub.AddTopic("t")
		if err := hub.AddSource("t", one(texts[len(texts)-1])); err != nil {
			t.Fatal(err)
		}
		log, err := hub.Reader("t")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for c := log.From(stream.ID{}); ; {
			entries, err := c.Next(t.Context())
			var ended *eventlog.Ended
			if errors.As(err, &ended) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, string(e.Event.Data))
			}
		}
		if !slices.Equal(got, texts) {
			t.Errorf("got %q, want %q", got, texts)
		}
		hub.Close()
	}
}
