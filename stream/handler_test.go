package stream_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

func TestHeadersComeBeforeTheFirstEvent(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Node: "n1", Retry: 1500 * time.Millisecond}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Connection": "",
		} {
			if got := s.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if s.hello["node"] != "n1" || s.hello["topic"] != "a" || s.hello["resumed"] != false || s.hello["connection"] == "" {
			t.Errorf("connected says %v", s.hello)
		}
		if s.Retry() != 1500*time.Millisecond {
			t.Errorf("retry %v", s.Retry())
		}
		ids := f.publish(t, `{"n":1}`, `{"n":2}`)
		s.wantIDs(t, ids...)
	})
}

func TestResumeOverHTTP(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 4}}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := append(f.publish(t, `1`, `2`, `3`), f.publish(t, `4`, `5`, `6`)...)
		s := f.subscribe(t, "", "Last-Event-ID", ids[3].String())
		if s.hello["resumed"] != true {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, ids[4:]...)
		s.close()

		s = f.subscribe(t, "?last_event_id="+ids[4].String())
		s.wantIDs(t, ids[5])
		s.close()

		// The header wins.
		s = f.subscribe(t, "?last_event_id="+ids[1].String(), "Last-Event-ID", ids[4].String())
		s.wantIDs(t, ids[5])
		s.close()

		s = f.subscribe(t, "", "Last-Event-ID", ids[0].String())
		var gap struct{ From, To, Reason string }
		if err := json.Unmarshal(s.want(t, "gap").Data, &gap); err != nil {
			t.Fatal(err)
		}
		if gap.From != ids[0].String() || gap.To != ids[1].String() || gap.Reason != eventlog.GapExpired {
			t.Errorf("gap says %+v", gap)
		}
		s.wantIDs(t, ids[2:]...)
		s.close()

		// An ID that cannot exist: the client is told, and served.
		s = f.subscribe(t, "", "Last-Event-ID", "18446744073709551615-18446744073709551615")
		if m := s.want(t, "gap"); !strings.Contains(string(m.Data), eventlog.GapUnknown) {
			t.Errorf("gap says %s", m.Data)
		}
		s.close()

		s = f.subscribe(t, "", "Last-Event-ID", "no-such-thing")
		if s.hello["resumed"] != false || s.hello["last_event_id"] != "malformed" {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, f.publish(t, `7`)...)
	})
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		header      []string
		status      int
		says        string
	}{
		{"unknown topic", "?topic=b", nil, 404, "no such topic"},
		{"no name", "?topic=a%25b", nil, 404, "There can be no such topic: not a valid name: topic \"a%b\" has '%' in it"},
		{"unknown format", "?format=xml", nil, 400, "Formats are: data, json"},
		{"not acceptable", "", []string{"Accept", "application/json"}, 406, "text/event-stream"},
		{"refused by q=0", "", []string{"Accept", "text/event-stream;q=0"}, 406, "text/event-stream"},
		{"browser", "", []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}, 200, ""},
		{"event stream", "", []string{"Accept", "text/event-stream"}, 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
				s := f.subscribe(t, tc.query, tc.header...)
				if s.status != tc.status || !strings.Contains(s.problem, tc.says) {
					t.Errorf("got %d %q, want %d with %q", s.status, s.problem, tc.status, tc.says)
				}
			})
		})
	}
}

func TestHeartbeatIsResetByEvents(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: 10 * time.Second}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		start := time.Now()
		s.want(t, "ping")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("first ping after %v", d)
		}
		time.Sleep(6 * time.Second)
		s.wantIDs(t, f.publish(t, `1`)...)
		synctest.Wait()
		start = time.Now()
		s.want(t, "ping")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("ping %v after an event, want 10s", d)
		}
		synctest.Wait()
		conns := f.handler.Conns()
		if len(conns) != 1 || !conns[0].LastWrite().Equal(time.Now()) {
			t.Errorf("the last write of %v is not now", conns)
		}
	})
}

// A client that does not read is cut after the write deadline, and no other
// waits for it.
func TestSlowClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := make(chan stream.CloseReason, 2)
		hooks := stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{Disconnect: func(reason stream.CloseReason, _ error) { reasons <- reason }}
		}}
		f := newFixture(t, stream.HubOptions{Hooks: hooks}, &stream.Handler{WriteTimeout: 5 * time.Second})
		slow, _ := f.listener.Dial(t.Context(), "", "")
		defer slow.Close()
		if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		start := time.Now() // the pipe holds nothing: already the headers block
		s := f.subscribe(t, "")
		s.wantIDs(t, f.publish(t, `1`)...)
		if d := time.Since(start); d != 0 {
			t.Errorf("the other client waited for %v", d)
		}
		if reason, d := <-reasons, time.Since(start); reason != stream.CloseSlow || d < 5*time.Second || d > 5*time.Second*9/8 {
			t.Errorf("cut with reason %s after %v, want slow after 5s, or an eighth more", reason, d)
		}
		synctest.Wait()
		if n := f.handler.Active(); n != 1 {
			t.Errorf("%d connections are open, want 1", n)
		}
	})
}

// A write deadline must not outlive its write: over an idle hour nothing
// happens but pings.
func TestIdleStreamLives(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: time.Minute, WriteTimeout: time.Second}, func(t *testing.T, f *fixture) {
		s := f.subscribe(t, "")
		for range 60 {
			s.want(t, "ping")
		}
		s.wantIDs(t, f.publish(t, `1`)...)
	})
}

func TestFormat(t *testing.T) {
	renders := 0
	hub := stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
		"html": func(dst []byte, topic string, e *stream.Event) (string, []byte, error) {
			renders++ // in a bubble, where one reader is served after the other
			if string(e.Data) == `"bad"` {
				return "", nil, errors.New("cannot be rendered")
			}
			return "", append(append(append(dst, "<p>"...), e.Data...), "</p>"...), nil
		},
	}}
	bubble(t, hub, &stream.Handler{Format: "html"}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		old := f.publish(t, `1`, `2`)
		// The first live reader does not get what was there before it.
		a, b := f.subscribe(t, ""), f.subscribe(t, "")
		c := f.subscribe(t, "", "Last-Event-ID", old[0].String())
		c.wantIDs(t, old[1])
		ids := f.publish(t, `3`)
		for _, s := range []*subscription{a, b, c} {
			if m := s.want(t, "message"); m.ID != ids[0].String() || string(m.Data) != "<p>3</p>" {
				t.Errorf("got %s %s", m.ID, m.Data)
			}
		}
		json := f.subscribe(t, "?format=json", "Last-Event-ID", old[1].String())
		json.wantIDs(t, ids...)
		if renders != 2 {
			t.Errorf("rendered %d times for two events that three readers wanted", renders)
		}
		f.publish(t, `"bad"`)
		if m := a.want(t, "stream-error"); !strings.Contains(string(m.Data), "cannot be shown") {
			t.Errorf("stream-error says %s", m.Data)
		}
		a.wantIDs(t, f.publish(t, `4`)...)
		if err := f.hub.EndTopic("a", "over"); err != nil {
			t.Fatal(err)
		}
		a.want(t, "close")
	})
}

// The first client of a view comes back: the view is empty still, and yet it
// gets all that it has missed.
func TestResumeInAViewThatIsBehind(t *testing.T) {
	hub := stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
		"html": func(dst []byte, topic string, e *stream.Event) (string, []byte, error) {
			return "", append(dst, e.Data...), nil
		},
	}}
	bubble(t, hub, &stream.Handler{Format: "html"}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := f.publish(t, `1`, `2`, `3`)
		s := f.subscribe(t, "", "Last-Event-ID", ids[0].String())
		if s.hello["position"] != ids[0].String() {
			t.Errorf("connected says %v", s.hello)
		}
		s.wantIDs(t, ids[1:]...)
		s.wantIDs(t, f.publish(t, `4`)...)
	})
}

func TestPanicAtConnectLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := 0
		hooks := stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks { panic(http.ErrAbortHandler) }}
		f := newFixture(t, stream.HubOptions{Hooks: hooks}, &stream.Handler{
			Subscribe: func(*http.Request) (*stream.Subscription, error) {
				return &stream.Subscription{Topic: "a", Done: func() { released++ }}, nil
			},
		})
		if _, err := f.client.Get("http://weir/"); err == nil {
			t.Error("a stream began")
		}
		synctest.Wait()
		if f.handler.Active() != 0 || released != 1 {
			t.Errorf("%d connections are left, the slot was released %d times", f.handler.Active(), released)
		}
	})
}

func TestPanicInAHookEndsTheConnectionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := make(chan stream.CloseReason, 1)
		hooks := stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{
				Flush:      func(*stream.Flush) { panic(http.ErrAbortHandler) },
				Disconnect: func(reason stream.CloseReason, _ error) { reasons <- reason },
			}
		}}
		f := newFixture(t, stream.HubOptions{Hooks: hooks}, &stream.Handler{})
		s := f.subscribe(t, "")
		f.publish(t, `1`)
		s.want(t, "message")
		if reason := <-reasons; reason != stream.ClosePanic {
			t.Errorf("reason %s", reason)
		}
		synctest.Wait()
		if f.handler.Active() != 0 {
			t.Error("the connection is still counted")
		}
	})
}

// A gap says how many events are lost where the log can tell, and no number where it
// cannot.
func TestGapTellsHowMany(t *testing.T) {
	gap := eventlog.Gap{From: eventlog.ID{Milli: 5}, To: eventlog.ID{Milli: 9, Seq: 3}, Reason: eventlog.GapSlow, Missed: 40}
	if got := stream.GapMessage(&gap); !strings.Contains(got, `"reason":"slow","missed":40}`) {
		t.Errorf("got %q", got)
	}
	gap.Missed = 0
	if got := stream.GapMessage(&gap); strings.Contains(got, "missed") {
		t.Errorf("got %q", got)
	}
}
