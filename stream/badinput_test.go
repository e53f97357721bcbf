package stream_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// Whatever a client sends as its last event ID, it gets a stream, and nothing it
// has not missed is lost in silence: what is no ID begins live and says so.
func TestHostileLastEventID(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{Heartbeat: time.Hour}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := f.publish(t, "1", "2", "3")
		for _, tc := range []struct {
			name, query string
			header      []string
			from        int // the first event that is read; -1: what comes next
			malformed   bool
		}{
			{"last_event_id", "?last_event_id=" + ids[0].String(), nil, 1, false},
			{"lastEventId", "?lastEventId=" + ids[0].String(), nil, 1, false},
			{"lastEventID", "?lastEventID=" + ids[0].String(), nil, 1, false},
			{"the header wins", "?lastEventId=" + ids[0].String(), []string{"Last-Event-ID", ids[1].String()}, 2, false},
			{"an empty header", "?last_event_id=" + ids[0].String(), []string{"Last-Event-ID", ""}, 1, false},
			{"a repeated parameter", "?last_event_id=" + ids[1].String() + "&last_event_id=x", nil, 2, false},
			{"contradictory spellings", "?lastEventID=" + ids[0].String() + "&last_event_id=" + ids[1].String(), nil, 2, false},
			{"everything", "?last_event_id=0", nil, 0, false},
			{"text", "?last_event_id=abc", nil, -1, true},
			{"a sign", "?last_event_id=-1", nil, -1, true},
			{"too large", "?last_event_id=99999999999999999999999-1", nil, -1, true},
			{"long", "?last_event_id=" + strings.Repeat("9", 3000), nil, -1, true},
			{"a line end", "?last_event_id=1-1%0Adata:%20x", nil, -1, true},
			{"a NUL", "?last_event_id=1-1%00", nil, -1, true},
		} {
			s := f.subscribe(t, tc.query, tc.header...)
			if s.status != http.StatusOK || (s.hello["last_event_id"] == "malformed") != tc.malformed {
				t.Errorf("%s: %d, %v", tc.name, s.status, s.hello)
			}
			if tc.from >= 0 {
				s.wantIDs(t, ids[tc.from:]...)
			}
			ids = append(ids, f.publish(t, "4")...)
			s.wantIDs(t, ids[len(ids)-1])
			s.close()
		}
	})
}

// What makes no sense is refused with what would be right.
func TestBadQueries(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		for query, says := range map[string]string{
			"?topic=a&topic=a":                     "One stream reads one topic",
			"?format=json&format=data":             "format may stand once",
			"?last=x":                              "last is one number",
			"?last=-1":                             "last is one number",
			"?last=1&last=2":                       "last is one number",
			"?subject=":                            "subject= is refused",
			"?subject=a,b":                         "subject= is refused",
			"?subject=*.a":                         "subject= is refused",
			"?subject=" + strings.Repeat("x", 257): "subject= is refused",
			"?topic=%zz":                           "query of the address is malformed",
		} {
			if s := f.subscribe(t, query); s.status != http.StatusBadRequest || !strings.Contains(s.problem, says) {
				t.Errorf("%.40s: %d %s", query, s.status, s.problem)
			}
		}
	})
}

// A publisher cannot name an event as the server's own messages are named, nor
// put in a batch that would push its own beginning out.
func TestBadPublications(t *testing.T) {
	hub := stream.NewHub(stream.HubOptions{Topic: stream.TopicOptions{History: 3, Bytes: 10_000}})
	defer hub.Close()
	_ = hub.AddTopic("a")
	for _, name := range append([]string{"a\nb", "a\x00", "\xff"}, eventlog.ControlEvents...) {
		if _, err := hub.Publish(t.Context(), "a", stream.Event{Name: name, Data: []byte("1")}); !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("an event with the name %q: %v", name, err)
		}
	}
	many := make([]stream.Event, 4)
	large := make([]stream.Event, 2)
	for i := range many {
		many[i].Data = []byte("1")
	}
	for i := range large {
		large[i].Data = fmt.Appendf(nil, "%q", strings.Repeat("x", 6000))
	}
	for _, batch := range [][]stream.Event{many, large} {
		if _, err := hub.Publish(t.Context(), "a", batch...); !errors.Is(err, stream.ErrTooLarge) {
			t.Errorf("%d events that do not fit: %v", len(batch), err)
		}
	}
	if n := hub.Health()["a"].Log.Entries; n != 0 {
		t.Errorf("%d events of refused batches are in", n)
	}
}

// What a program does wrong ends one stream, not the process, and leaves nothing
// behind.
func TestProgramsFaults(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		quiet := slog.New(slog.DiscardHandler)
		var faulty atomic.Bool
		done := make(chan struct{}, 100) // the client may try again
		handler := &stream.Handler{Logger: quiet, Subscribe: func(r *http.Request) (*stream.Subscription, error) {
			if !faulty.Load() {
				return stream.ParseSubscription(r)
			}
			return &stream.Subscription{Topic: "a", Opened: func(*stream.Conn) { panic(http.ErrAbortHandler) }, Done: func() { done <- struct{}{} }}, nil
		}}
		s := open(stream.HubOptions{Logger: quiet, Formats: map[stream.Format]stream.Formatter{
			"bad": func([]byte, string, *stream.Event) (string, []byte, error) { panic("a fault in a formatter") },
		}}, handler)
		bad, good := s.subscribe(t, "?format=bad"), s.subscribe(t, "")
		s.publish(t, "1")
		bad.want(t, "stream-error")
		good.want(t, "message")
		// A reason that is none ends the stream all the same.
		for _, c := range handler.Conns() {
			c.Close("")
		}
		for _, sub := range []*subscription{bad, good} {
			sub.want(t, "ping")
			if _, err := sub.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v", err)
			}
		}
		faulty.Store(true)
		if resp, err := s.client.Get(s.url); err == nil {
			resp.Body.Close()
			t.Error("a stream began that could not be opened")
		}
		<-done
		until(t, "the stream to be forgotten", func() bool { return handler.Active() == 0 })
	})
}

// A topic that was closed tells so to who has never been there.
func TestFirstReaderOfAnEndedTopic(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		if err := f.hub.EndTopic("a", "over"); err != nil {
			t.Fatal(err)
		}
		f.subscribe(t, "?last_event_id=0").want(t, "close")
		if s := f.subscribe(t, "?"+strings.Repeat("subject=x&", 65)); s.status != http.StatusBadRequest {
			t.Errorf("65 subjects: %d", s.status)
		}
	})
}
