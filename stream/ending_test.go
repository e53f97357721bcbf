package stream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

func TestCloseTellsClientsNotToComeBack(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		ids := f.publish(t, `1`)
		if err := f.hub.EndTopic("a", "input has ended"); err != nil {
			t.Fatal(err)
		}
		s.wantIDs(t, ids...)
		if m := s.want(t, "close"); string(m.Data) != `{"reason":"input has ended"}` {
			t.Errorf("close says %s", m.Data)
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after close: %v", err)
		}
		// Who comes back all the same is told by 204, once it has everything.
		if s := f.subscribe(t, "", "Last-Event-ID", ids[0].String()); s.status != http.StatusNoContent {
			t.Errorf("coming back: %d", s.status)
		}
		fresh := f.subscribe(t, "")
		fresh.want(t, "close")
		synctest.Wait()
		if n := f.handler.Active(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestDrain(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		var subs []*subscription
		for range 20 {
			subs = append(subs, f.subscribe(t, ""))
		}
		start := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- f.handler.Drain(t.Context(), 10*time.Second) }()
		synctest.Wait()
		if s := f.subscribe(t, ""); s.status != http.StatusServiceUnavailable || s.header.Get("Retry-After") != "10" {
			t.Errorf("a newcomer gets %d, Retry-After %q", s.status, s.header.Get("Retry-After"))
		}
		var work sync.WaitGroup
		ends := make([]time.Duration, len(subs))
		retries := map[time.Duration]bool{}
		var mu sync.Mutex
		for i, s := range subs {
			work.Go(func() {
				s.want(t, "ping")
				if _, err := s.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("stream %d ended with %v, want an orderly end", i, err)
				}
				mu.Lock()
				defer mu.Unlock()
				ends[i] = time.Since(start)
				retries[s.Retry()] = true
			})
		}
		work.Wait()
		if err := <-drained; err != nil {
			t.Error(err)
		}
		early, late := ends[0], ends[0]
		for _, d := range ends {
			early, late = min(early, d), max(late, d)
		}
		if late > 10*time.Second || late-early < 3*time.Second {
			t.Errorf("streams ended from %v to %v, want them spread over 10s", early, late)
		}
		if len(retries) < 10 {
			t.Errorf("20 clients were told only %d different times to come back", len(retries))
		}
	})
}

func TestDrainAtOnce(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.handler.Drain(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("Drain: %v", err)
		}
		s.want(t, "ping")
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestLifetime(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Lifetime: 100 * time.Second, Heartbeat: time.Hour}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		start := time.Now()
		s.want(t, "ping")
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 90*time.Second || d > 110*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

// Clients that leave at every moment leave nothing behind.
func TestDepartures(t *testing.T) {
	released := 0
	var mu sync.Mutex
	subscribe := func(r *http.Request) (*stream.Subscription, error) {
		sub, err := stream.ParseSubscription(r)
		if err == nil {
			sub.Done = func() { mu.Lock(); released++; mu.Unlock() }
		}
		return sub, err
	}
	bubble(t, stream.HubOptions{}, &stream.Handler{Subscribe: subscribe}, func(t *testing.T, f *fixture) {
		f.publish(t, `1`, `2`, `3`)
		request := "GET /?last_event_id=0 HTTP/1.1\r\nHost: weir\r\n\r\n"
		admitted := 0
		for reads := range 12 {
			c, _ := f.listener.Dial(t.Context(), "", "")
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			admitted++
			buf := make([]byte, 64)
			for range reads {
				if _, err := c.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			synctest.Wait()
		}
		if n := f.handler.Active(); n != 0 || released != admitted {
			t.Errorf("%d connections are left, %d of %d slots released", n, released, admitted)
		}
		if n := f.handler.Totals().Closed[stream.CloseClient]; n != int64(admitted) {
			t.Errorf("closed: %v, want %d by the client", f.handler.Totals().Closed, admitted)
		}
	})
}
