package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/source"
)

// A client reads a topic of a hub, as a connection does.
type client struct {
	t      *testing.T
	cursor *eventlog.Cursor
}

func newHub(t *testing.T, topic string) (*stream.Hub, *client) {
	hub := stream.NewHub(stream.HubOptions{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(hub.Close)
	if err := hub.AddTopic(topic); err != nil {
		t.Fatal(err)
	}
	log, err := hub.Reader(topic)
	if err != nil {
		t.Fatal(err)
	}
	return hub, &client{t, log.Live()}
}

// next returns the data of the next event, or the wire of an announcement, and
// how long it has taken to come.
func (c *client) next() (string, time.Duration) {
	c.t.Helper()
	began := time.Now()
	batch, err := c.cursor.Next(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if len(batch) != 1 {
		c.t.Fatalf("%d entries at a time", len(batch))
	}
	if e := batch[0].Event; e != nil {
		return string(e.Data), time.Since(began)
	}
	return string(batch[0].Wire(nil)), time.Since(began)
}

// The third failure of a sensor is told to the clients, once, and the readings
// go on when it has recovered.
func TestThreeFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, c := newHub(t, "room")
		defer hub.Close()
		var broken atomic.Bool
		good := source.Reading{Temperature: 20, Humidity: 40, Pressure: 1010}
		sensor := &source.Sensor{Min: time.Second, Max: time.Second, Read: func(context.Context) (source.Reading, error) {
			if broken.Load() {
				return source.Reading{}, errors.New("the wire is off: /dev/secret")
			}
			return good, nil
		}}
		if err := hub.AddSource("room", sensor); err != nil {
			t.Fatal(err)
		}
		const reading = `{"temperature":20.0,"humidity":40.0,"pressure":1010.0}`
		for range 3 {
			if got, _ := c.next(); got != reading {
				t.Fatalf("got %q", got)
			}
		}
		broken.Store(true)
		got, after := c.next()
		if !strings.HasPrefix(got, "event: stream-error\ndata: ") || strings.Contains(got, "secret") {
			t.Fatalf("got %q, want a stream-error without internals", got)
		}
		if after != 3*time.Second {
			t.Errorf("the stream-error came after %v, want it with the third failure, after 3 s", after)
		}
		synctest.Wait()
		if h := hub.Health()["room"].Source; h.State != stream.SourceDown || h.Failures != 3 {
			t.Errorf("health is %+v", h)
		}
		time.Sleep(time.Minute) // it is said once, not at each failure
		broken.Store(false)
		if got, _ := c.next(); got != reading {
			t.Fatalf("got %q after the sensor had recovered", got)
		}
		synctest.Wait()
		if h := hub.Health()["room"].Source; h.State != stream.SourceUp || h.Failures != 0 || h.Total < 60 {
			t.Errorf("health is %+v", h)
		}
	})
}

// Two failures are nobody's business.
func TestTwoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, c := newHub(t, "room")
		defer hub.Close()
		n := 0
		err := hub.AddSource("room", &source.Sensor{Read: func(context.Context) (source.Reading, error) {
			if n++; n%3 != 0 {
				return source.Reading{}, errors.New("a moment")
			}
			return source.Reading{Temperature: 20, Humidity: 40, Pressure: 1010}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if got, _ := c.next(); !json.Valid([]byte(got)) {
				t.Fatalf("got %q", got)
			}
		}
	})
}

// A source that returns an error is run again, after a wait that grows to 15 s
// at most and is short again after a run of some length: an event alone is no
// reason to run it four times a second.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, c := newHub(t, "flaky")
		defer hub.Close()
		var runs []time.Time
		s := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			runs = append(runs, time.Now())
			if len(runs) == 12 {
				time.Sleep(10 * time.Second)
			}
			if len(runs) >= 11 {
				_ = p.Publish(ctx, stream.Event{Data: []byte("1")})
			}
			return errors.New("no luck")
		})
		if err := hub.AddSource("flaky", s); err != nil {
			t.Fatal(err)
		}
		if got, after := c.next(); !strings.HasPrefix(got, "event: stream-error\n") || after < 500*time.Millisecond || after > 2*time.Second {
			t.Errorf("got %q after %v, want a stream-error after the third run", got, after)
		}
		for range 2 {
			if got, _ := c.next(); got != "1" {
				t.Errorf("got %q, want the event", got)
			}
		}
		time.Sleep(2 * time.Second)
		hub.Close()
		for i := 1; i < 12; i++ {
			longest := min(250*time.Millisecond<<i, 15*time.Second)
			if wait := runs[i].Sub(runs[i-1]); wait < longest/2 || wait > longest {
				t.Errorf("wait %d was %v, want %v to %v", i, wait, longest/2, longest)
			}
		}
		if len(runs) < 13 {
			t.Error("after a long run, the next took as long to come as before it")
		}
	})
}

// An orderly end is no failure; a panic is one, and ends nothing else.
func TestRestartAndPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, c := newHub(t, "again")
		defer hub.Close()
		n := 0
		s := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			if n++; n == 5 {
				panic("a fault in the plug-in")
			}
			if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
				return err
			}
			return stream.ErrRestart
		})
		if err := hub.AddSource("again", s); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if got, _ := c.next(); got != "1" {
				t.Fatalf("got %q", got)
			}
		}
		synctest.Wait()
		if h := hub.Health()["again"].Source; h.Total != 0 || h.State != stream.SourceUp {
			t.Errorf("health is %+v after orderly ends", h)
		}
		if got, _ := c.next(); got != "1" {
			t.Fatalf("got %q after the panic", got)
		}
		synctest.Wait()
		if h := hub.Health()["again"].Source; h.Total != 1 {
			t.Errorf("health is %+v after a panic", h)
		}
	})
}

// A source that comes to an orderly end at once is not run over and over.
func TestRestartWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, _ := newHub(t, "again")
		defer hub.Close()
		var n, last atomic.Int64
		s := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			n.Add(1)
			time.Sleep(time.Duration(last.Load()))
			_ = p.Publish(ctx, stream.Event{Data: []byte("1")})
			return stream.ErrRestart
		})
		if err := hub.AddSource("again", s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := n.Load(); n < 6 || n > 12 {
			t.Errorf("the source was run %d times in a minute", n)
		}
		time.Sleep(time.Minute)
		last.Store(int64(10 * time.Second)) // from now on it lasts
		n.Store(0)
		time.Sleep(2 * time.Minute)
		if n := n.Load(); n < 9 || n > 12 {
			t.Errorf("a source that lasts 10 s was run %d times in two minutes", n)
		}
		if h := hub.Health()["again"].Source; h.State != stream.SourceUp || h.Restarts < 15 {
			t.Errorf("health is %+v", h)
		}
	})
}
