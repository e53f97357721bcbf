package stream_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
)

// A topic's time begins when its last reader leaves.
func TestIdleSinceTheLastReader(t *testing.T) {
	demand := onDemand("run", stream.TopicOptions{IdleTTL: 10 * time.Minute})
	bubble(t, stream.HubOptions{OnDemand: demand}, &stream.Handler{Heartbeat: 24 * time.Hour}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "?topic=run.1")
		time.Sleep(2 * time.Hour)
		s.close()
		for _, tc := range []struct {
			after time.Duration
			want  int
		}{{9 * time.Minute, 1}, {5 * time.Minute, 0}} {
			time.Sleep(tc.after)
			synctest.Wait()
			if n := f.hub.Demanded()["run.*"]; n != tc.want {
				t.Errorf("%d topics are left %v later, want %d", n, tc.after, tc.want)
			}
		}
	})
}

// Topics of a short time to live are looked for in time, whatever others there
// are, and in whatever order they were made.
func TestIdleTimesOfSeveral(t *testing.T) {
	for _, order := range []string{"short.1 long.1", "long.1 short.1"} {
		synctest.Test(t, func(t *testing.T) {
			hub := stream.NewHub(stream.HubOptions{OnDemand: func(topic string) (stream.TopicOptions, bool) {
				kind, _, _ := strings.Cut(topic, ".")
				return stream.TopicOptions{Label: kind, IdleTTL: map[string]time.Duration{"short": time.Minute, "long": 100 * time.Hour}[kind]}, true
			}})
			defer hub.Close()
			for _, topic := range strings.Fields(order) {
				if _, err := hub.Publish(t.Context(), topic, stream.Event{Data: []byte("1")}); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second time another look is under way
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if left := hub.Demanded(); left["short"] != 0 || left["long"] != 1 {
					t.Errorf("%s: after five minutes there are %v", order, left)
				}
				if _, err := hub.Publish(t.Context(), "short.2", stream.Event{Data: []byte("1")}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A topic that another node publishes to is in use here, too.
func TestIdleOnOneNodeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &streamtest.MemoryBroker{}
		opts := stream.HubOptions{Broker: broker, OnDemand: onDemand("run", stream.TopicOptions{IdleTTL: time.Minute})}
		here, there := stream.NewHub(opts), stream.NewHub(opts)
		defer here.Close()
		defer there.Close()
		if _, err := here.Publish(t.Context(), "run.1", stream.Event{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(30 * time.Second)
			if _, err := there.Publish(t.Context(), "run.1", stream.Event{Data: []byte("2")}); err != nil {
				t.Fatal(err)
			}
		}
		if n := here.Demanded()["run.*"]; n != 1 {
			t.Errorf("%d topics are left while events come", n)
		}
		time.Sleep(3 * time.Minute)
		if n := here.Demanded()["run.*"]; n != 0 {
			t.Errorf("%d topics are left", n)
		}
	})
}

// Readers that have gone are forgotten, and so is what they read.
func TestReadersAreForgotten(t *testing.T) {
	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	_ = hub.AddTopic("a")
	handler := &stream.Handler{Hub: hub}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	read := func(n int, query func(int) string) {
		for i := range n {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("HEAD", "/?topic=a"+query(i), nil))
		}
	}
	long := strings.Repeat("x", 200)
	for name, query := range map[string]func(int) string{
		"everything":      func(int) string { return "" },
		"subjects of own": func(i int) string { return fmt.Sprint("&subject=", long, i) },
	} {
		read(2000, query)
		before := heap()
		read(10_000, func(i int) string { return query(10_000 + i) })
		if grown := heap() - before; grown > 1<<20 {
			t.Errorf("10,000 readers of %s, who have gone, take %d bytes", name, grown)
		}
	}
	runtime.KeepAlive(handler)
}

// Who may read cannot use up all names: a topic that holds nothing and that nobody
// reads makes room for another. One with an event or a reader does not, nor one
// that was asked for just now.
func TestUnusedTopicsMakeRoom(t *testing.T) {
	demand := onDemand("run", stream.TopicOptions{Max: 3})
	bubble(t, stream.HubOptions{OnDemand: demand}, &stream.Handler{Heartbeat: 24 * time.Hour}, func(t *testing.T, f *fixture) {
		publish := func(topic string) error {
			_, err := f.hub.Publish(t.Context(), topic, stream.Event{Data: []byte("1")})
			return err
		}
		if err := publish("run.held"); err != nil {
			t.Fatal(err)
		}
		reader := f.subscribe(t, "?topic=run.read")
		f.subscribe(t, "?topic=run.left").close()
		time.Sleep(time.Second)
		if err := publish("run.new"); !errors.Is(err, stream.ErrTooMany) {
			t.Errorf("one second after a topic was left, another is made: %v", err)
		}
		time.Sleep(time.Minute)
		if err := publish("run.new"); err != nil {
			t.Errorf("a minute after it was left: %v", err)
		}
		time.Sleep(time.Minute)
		if err := publish("run.newer"); !errors.Is(err, stream.ErrTooMany) {
			t.Errorf("a topic with events or a reader made room: %v", err)
		}
		if err := publish("run.read"); err != nil {
			t.Error(err)
		}
		reader.want(t, "message")
	})
}
