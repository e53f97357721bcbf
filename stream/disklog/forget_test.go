package disklog_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/disklog"
)

// A topic on demand whose time is over in the hub is gone from the disk, too: whoever
// keeps trying its name gets it, its events do not come back, and neither does a restart
// bring back anything.
func TestTopicOnDemandIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 5 * time.Second
		dir := t.TempDir()
		var hub *stream.Hub
		start := func() (stop func()) {
			b := open(t, dir, disklog.Options{Limits: func(string) disklog.Limits { return disklog.Limits{Expire: ttl} }})
			hub = stream.NewHub(stream.HubOptions{Broker: b, OnDemand: func(string) (stream.TopicOptions, bool) {
				return stream.TopicOptions{IdleTTL: ttl}, true
			}})
			return func() {
				hub.Close()
				shut(t, b)
			}
		}
		put := func(topic string) error {
			_, err := hub.Publish(t.Context(), topic, stream.Event{Data: []byte("1")})
			return err
		}
		entries := func(topic string) int {
			time.Sleep(time.Second / 10) // follow
			health, err := hub.TopicHealth(topic)
			if err != nil {
				t.Fatal(err)
			}
			return health.Log.Entries
		}
		stop := start()
		for _, topic := range []string{"ended", "left", "over"} {
			if err := put(topic); err != nil {
				t.Fatal(err)
			}
		}
		for _, topic := range []string{"ended", "over"} {
			if err := hub.EndTopic(topic, "done"); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for errors.Is(put("ended"), stream.ErrClosed) {
			if time.Since(began) > 2*ttl {
				t.Fatalf("the name of a topic that ended is not free after %v", time.Since(began))
			}
			time.Sleep(ttl / 8)
		}
		if took := time.Since(began); took < ttl {
			t.Errorf("the end of a topic was forgotten after %v", took)
		}
		if n := len(hub.OnDemand(9)); n != 1 {
			t.Fatalf("there are %d topics", n)
		}
		stop()
		stop = start()
		for _, topic := range []string{"left", "over", "ended"} {
			if err := put(topic); err != nil {
				t.Errorf("after a restart, %s: %v", topic, err)
			}
		}
		if left, ended := entries("left"), entries("ended"); left != 1 || ended != 2 {
			t.Errorf("after a restart there are %d events of the topic that was removed, and %d of the other", left, ended)
		}
		stop()
	})
}

// What a broker is told to forget stays as long as the disk is to keep it, as long as
// another hub follows it, and when it was just published to.
func TestForgetWhatMustStay(t *testing.T) {
	b := open(t, t.TempDir(), disklog.Options{Limits: func(topic string) disklog.Limits {
		life := map[string]time.Duration{"long": time.Hour, "ever": 0}
		if expire, other := life[topic]; other {
			return disklog.Limits{Expire: expire}
		}
		return disklog.Limits{Expire: time.Millisecond}
	}})
	publication := func() *stream.Publication {
		return &stream.Publication{Events: []*stream.Event{event("1")}}
	}
	want := map[string]int{"short": 0, "followed": 1, "used": 1, "long": 1, "ever": 1}
	var last *stream.Event
	for topic := range want {
		p := publication()
		submit(t, b, topic, p)
		last = p.Events[0]
	}
	_, stop := follow(t, b, "followed")
	until(t, "the end of a millisecond", func() bool { return time.Now().UnixMilli() > int64(last.ID.Milli)+1 })
	resume, err := b.Stall()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for i, ask := range []func() error{ // the last two are in one commit, in whatever order
		func() error { return b.Publish(t.Context(), "other", publication()) },
		func() error { return b.Publish(t.Context(), "used", publication()) },
		func() error { return b.Forget(t.Context(), append(slices.Collect(maps.Keys(want)), "never")...) },
	} {
		go func() { done <- ask() }()
		until(t, "the writer to be asked", func() bool { return b.Waiting() == i+1 })
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	stop()
	for topic, n := range want {
		log, stop := follow(t, b, topic)
		if got := log.Stats().Entries; got != n && !(topic == "used" && got == 2) {
			t.Errorf("%s: %d events, want %d", topic, got, n)
		}
		stop()
	}
}
