package stream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

// A stream ends by its age or by the reader's right, whichever comes first, and
// says which.
func TestWhateverEndsFirst(t *testing.T) {
	right := func(r *http.Request) (*stream.Subscription, error) {
		sub, err := stream.ParseSubscription(r)
		if d, _ := time.ParseDuration(r.Header.Get("Right")); d > 0 && err == nil {
			sub.Expires = time.Now().Add(d)
		}
		return sub, err
	}
	bubble(t, stream.HubOptions{}, &stream.Handler{Lifetime: 100 * time.Second, Heartbeat: time.Hour, Subscribe: right}, func(t *testing.T, f *fixture) {
		for _, tc := range []struct {
			right    string
			event    string
			from, to time.Duration
		}{
			{"20s", "close", 20 * time.Second, 20 * time.Second},
			{"10m", "ping", 90 * time.Second, 110 * time.Second},
		} {
			began := time.Now()
			s := f.subscribe(t, "", "Right", tc.right)
			s.want(t, tc.event)
			if d := time.Since(began); d < tc.from || d > tc.to {
				t.Errorf("with a right for %s it ended after %v", tc.right, d)
			}
		}
	})
}

// Who lost the right is told not to come back, all others when to.
func TestReasonsOfAnEnd(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: time.Hour}, func(t *testing.T, f *fixture) {
		for reason, event := range map[stream.CloseReason]string{
			stream.CloseRevoked: "close", stream.CloseExpired: "close", "": "ping", "maintenance": "ping",
		} {
			s := f.subscribe(t, "")
			f.handler.Conns()[0].Close(reason)
			last := s.want(t, event)
			if event == "close" && string(last.Data) != `{"reason":"`+string(reason)+`"}` {
				t.Errorf("%q: close says %s", reason, last.Data)
			}
			if event == "ping" && last.Retry == 0 && s.Retry() == 0 {
				t.Errorf("%q: it does not say when to come back", reason)
			}
			if _, err := s.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%q: then comes %v", reason, err)
			}
			synctest.Wait()
		}
	})
}

// The last word moves a quiet reader to where the log is, or the log's end would
// overtake it until it comes back.
func TestLastWordCarriesThePosition(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: time.Hour}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		s := f.subscribe(t, "?subject=quiet")
		ids := f.publish(t, "1", "2", "3")
		synctest.Wait()
		f.handler.Conns()[0].Close("")
		if last := s.want(t, "ping"); last.ID != ids[2].String() {
			t.Errorf("it is at %s, the log at %s", last.ID, ids[2])
		}
	})
}

// A client of a topic that has ended is sent away when it has all of it, not
// before.
func TestEndedTopicIsReadToItsEnd(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := f.publish(t, "1", "2", "3")
		if err := f.hub.EndTopic("a", "done"); err != nil {
			t.Fatal(err)
		}
		s := f.subscribe(t, "", "Last-Event-ID", ids[1].String())
		if s.status != http.StatusOK {
			t.Fatalf("a client that lacks an event gets %d", s.status)
		}
		s.wantIDs(t, ids[2])
		s.want(t, "close")
		if s = f.subscribe(t, "", "Last-Event-ID", ids[2].String()); s.status != http.StatusNoContent {
			t.Errorf("a client that has all gets %d", s.status)
		}
	})
}

// The end of a request's time is no departure of the client: it is told to come
// back.
func TestRequestWithADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := stream.NewHub(stream.HubOptions{})
		defer hub.Close()
		_ = hub.AddTopic("a")
		h := &stream.Handler{Hub: hub, Heartbeat: time.Hour}
		for reason, end := range map[stream.CloseReason]func(context.Context) (context.Context, context.CancelFunc){
			"lifetime": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Minute)
			},
			stream.CloseClient: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Minute, cancel)
				return ctx, cancel
			},
		} {
			ctx, cancel := end(t.Context())
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
			cancel()
			told := strings.Count(w.Body.String(), "event: ping")
			if n := h.Totals().Closed[reason]; n != 1 || (told == 1) != (reason == "lifetime") {
				t.Errorf("%s: closed %v, and the stream was %q", reason, h.Totals().Closed, w.Body)
			}
		}
	})
}

// A stream that is cut has no orderly end, which would tell the client that it
// has everything.
func TestCutStreamHasNoOrderlyEnd(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		for reason, orderly := range map[stream.CloseReason]bool{stream.CloseSlow: false, stream.CloseExpired: true} {
			sub := s.subscribe(t, "")
			until(t, "the stream", func() bool { return len(s.handler.Conns()) == 1 })
			s.handler.Conns()[0].Close(reason)
			var err error
			for err == nil {
				_, err = sub.Next()
			}
			if errors.Is(err, io.EOF) != orderly {
				t.Errorf("%s: it ends by %v", reason, err)
			}
			until(t, "the stream to be gone", func() bool { return s.handler.Active() == 0 })
		}
	})
}

// Who sees that a stream is gone finds its slot free.
func TestSlotIsFreeBeforeTheStreamIsGone(t *testing.T) {
	var handler *stream.Handler
	active := -1
	handler = &stream.Handler{Subscribe: func(r *http.Request) (*stream.Subscription, error) {
		sub, err := stream.ParseSubscription(r)
		if err == nil {
			sub.Done = func() { active = handler.Active() }
		}
		return sub, err
	}}
	bubble(t, stream.HubOptions{}, handler, func(t *testing.T, f *fixture) {
		f.subscribe(t, "").close()
		synctest.Wait()
		if active != 1 || handler.Active() != 0 {
			t.Errorf("when the slot was given back %d streams were open, then %d", active, handler.Active())
		}
	})
}

// What closed streams have done stays in the totals.
func TestTotals(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 2}}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := append(f.publish(t, "1", "2"), f.publish(t, "3", "4")...)
		s := f.subscribe(t, "", "Last-Event-ID", ids[0].String())
		s.want(t, "gap")
		s.wantIDs(t, ids[2:]...)
		time.Sleep(time.Second)
		sent := f.handler.Conns()[0].Bytes()
		s.close()
		synctest.Wait()
		f.subscribe(t, "?format=none")
		got := f.handler.Totals()
		if got.Connections != 1 || got.Rejected != 1 || got.Events != 2 || got.Gaps != 1 || got.Bytes != sent || got.Duration != time.Second || got.Closed[stream.CloseClient] != 1 {
			t.Errorf("the totals are %+v; %d bytes were sent", got, sent)
		}
	})
}
