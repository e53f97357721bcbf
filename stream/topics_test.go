package stream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
)

func onDemand(label string, opts stream.TopicOptions) func(string) (stream.TopicOptions, bool) {
	opts.Label = label + ".*"
	return func(topic string) (stream.TopicOptions, bool) { return opts, strings.HasPrefix(topic, label+".") }
}

// A topic on demand is made by the first publish or read, and goes when nobody
// reads or feeds it for its time. Who comes back later with an ID of it is told.
func TestTopicOnDemand(t *testing.T) {
	demand := onDemand("run", stream.TopicOptions{IdleTTL: time.Minute, Max: 2})
	bubble(t, stream.HubOptions{OnDemand: demand}, &stream.Handler{Heartbeat: time.Hour}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		reader := f.subscribe(t, "?topic=run.1")
		ids, err := f.hub.Publish(t.Context(), "run.1", stream.Event{Data: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		reader.wantIDs(t, ids...)
		if _, err := f.hub.Publish(t.Context(), "else.1", stream.Event{}); err == nil {
			t.Error("a topic was made that nobody allows")
		}
		if _, err := f.hub.Publish(t.Context(), "run.2", stream.Event{Data: []byte("1")}); err != nil {
			t.Error(err)
		}
		if s := f.subscribe(t, "?topic=run.3"); s.status != http.StatusTooManyRequests {
			t.Errorf("a topic beyond the greatest number: %d", s.status)
		}
		if got := f.hub.Topics(); len(got) != 1 || f.hub.Label("run.1") != "run.*" || f.hub.Demanded()["run.*"] != 2 {
			t.Errorf("topics %v, label %q, on demand %v", got, f.hub.Label("run.1"), f.hub.Demanded())
		}
		time.Sleep(2 * time.Minute) // run.1 has a reader
		if n := f.hub.Demanded()["run.*"]; n != 1 {
			t.Errorf("%d topics are left, want the one that is read", n)
		}
		reader.close()
		time.Sleep(2 * time.Minute)
		if n := f.hub.Demanded()["run.*"]; n != 0 {
			t.Errorf("%d topics are left", n)
		}
		late := f.subscribe(t, "?topic=run.1", "Last-Event-ID", ids[0].String())
		late.want(t, "gap")
	})
}

// A reader of subjects gets the events that match, under the topic's own IDs, and
// what is written to it moves its position along.
func TestSubjects(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 4}}, &stream.Handler{Heartbeat: 10 * time.Second}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		put := func(subject string) stream.ID {
			ids, err := f.hub.Publish(t.Context(), "a", stream.Event{Subject: subject, Data: []byte("1")})
			if err != nil {
				t.Fatal(err)
			}
			return ids[0]
		}
		s := f.subscribe(t, "?subject=eu.*&subject=42")
		put("us.ny")
		first := put("eu.de")
		put("eu")
		second := put("42")
		s.wantIDs(t, first, second)
		var last stream.ID
		for range 10 {
			last = put("us.ny")
		}
		ping := s.want(t, "ping")
		if ping.ID != last.String() {
			t.Errorf("a ping to a quiet view says %s, want the log's position %s", ping.ID, last)
		}
		s.close()
		for range 3 {
			put("us.ny")
		}
		want := put("eu.fr")
		s = f.subscribe(t, "?subject=eu.*&subject=42", "Last-Event-ID", ping.ID)
		s.wantIDs(t, want)
		if s := f.subscribe(t, "?subject=a%20b"); s.status != http.StatusBadRequest {
			t.Errorf("a filter that is none: %d", s.status)
		}
	})
}

// Who comes new may have the newest events first.
func TestNewestFirst(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := f.publish(t, "1", "2", "3", "4")
		s := f.subscribe(t, "?last=2")
		if s.hello["position"] != ids[1].String() || s.hello["live"] != ids[3].String() {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, ids[2:]...)
		s.wantIDs(t, f.publish(t, "5")...)
		var latest []stream.ID
		for _, subject := range []string{"x", "y", "x", "y", "z"} {
			got, _ := f.hub.Publish(t.Context(), "a", stream.Event{Subject: subject, Data: []byte("1")})
			latest = append(latest, got...)
		}
		s = f.subscribe(t, "?last=1&subject=x&subject=y")
		s.wantIDs(t, latest[2], latest[3])
		s.wantIDs(t, func() []stream.ID {
			got, _ := f.hub.Publish(t.Context(), "a", stream.Event{Subject: "y", Data: []byte("1")})
			return got
		}()...)
	})
}

// An event that its publisher gave an ID is put in once.
func TestPublishOnce(t *testing.T) {
	for name, opts := range map[string]stream.HubOptions{"alone": {}, "broker": {Broker: &streamtest.MemoryBroker{}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []error
				opts.Hooks.Publish = func(context.Context, string, *stream.Event) func(stream.ID, error) {
					return func(_ stream.ID, err error) { told = append(told, err) }
				}
				hub := stream.NewHub(opts)
				defer hub.Close()
				_ = hub.AddTopic("a")
				once := func() stream.ID {
					ids, err := hub.Publish(t.Context(), "a", stream.Event{Source: "/shop", ForeignID: "7", Data: []byte("1")})
					if err != nil {
						t.Fatal(err)
					}
					return ids[0]
				}
				if a, b := once(), once(); a != b {
					t.Errorf("the same event is in as %v and %v", a, b)
				}
				if len(told) != 2 || told[0] != nil || !errors.Is(told[1], stream.ErrDuplicate) {
					t.Errorf("the hook is told %v", told)
				}
				if n := hub.Health()["a"].Log.Entries; n != 1 {
					t.Errorf("%d entries", n)
				}
				// Whoever did not hear the answer asks again, though the topic has ended.
				if err := hub.EndTopic("a", "over"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if a, b := once(), once(); a != b {
					t.Errorf("after the end the same event is in as %v and %v", a, b)
				}
				if _, err := hub.Publish(t.Context(), "a", stream.Event{Source: "/shop", ForeignID: "8", Data: []byte("1")}); !errors.Is(err, stream.ErrClosed) {
					t.Errorf("another event after the end: %v", err)
				}
			})
		})
	}
}

// What an empty topic costs.
func TestEmptyTopicIsSmall(t *testing.T) {
	for name, broker := range map[string]stream.Broker{"alone": nil, "broker": &streamtest.MemoryBroker{}} {
		hub := stream.NewHub(stream.HubOptions{Broker: broker, OnDemand: onDemand("run", stream.TopicOptions{IdleTTL: time.Hour})})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		const n = 20_000
		handler := &stream.Handler{Hub: hub}
		for i := range n {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("HEAD", fmt.Sprintf("/?topic=run.%d", i), nil))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if got := hub.Demanded()["run.*"]; got != n {
			t.Errorf("%s: %d topics", name, got)
		}
		each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
		t.Logf("%s: %d bytes a topic", name, each)
		if each > 3000 {
			t.Errorf("%s: an empty topic costs %d bytes", name, each)
		}
		if more := runtime.NumGoroutine() - goroutines; more > 10 {
			t.Errorf("%s: %d goroutines for %d topics", name, more, n)
		}
		hub.Close()
	}
}

// BenchmarkTopics: a request's cost does not grow with the number of topics.
func BenchmarkTopics(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			hub := stream.NewHub(stream.HubOptions{})
			defer hub.Close()
			for i := range n {
				_ = hub.EnsureTopic(fmt.Sprintf("run.%d", i), stream.TopicOptions{})
			}
			handler := &stream.Handler{Hub: hub}
			r := httptest.NewRequest("HEAD", fmt.Sprintf("/?topic=run.%d", n/2), nil)
			for b.Loop() {
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// BenchmarkSubjects: an event costs by the readers that get it, however many
// others there are.
func BenchmarkSubjects(b *testing.B) {
	for _, readers := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			log := eventlog.New(eventlog.Options{})
			cursors := make([]*eventlog.Cursor, readers)
			for i := range cursors {
				filter, _ := eventlog.ParseFilter([]string{fmt.Sprintf("user.%d", i)})
				cursors[i] = log.View(filter).Live()
			}
			event := []byte("1")
			for i := 0; b.Loop(); i++ {
				to := i % readers
				if _, err := log.Append(&stream.Event{Type: "t", Source: "/s", Subject: fmt.Sprintf("user.%d", to), Data: event}); err != nil {
					b.Fatal(err)
				}
				if _, err := cursors[to].Next(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
