package stream_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

// A stream has resumed when nothing is lost by it, and not else.
func TestResumedIsTrue(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 2}}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := append(f.publish(t, "1", "2"), f.publish(t, "3", "4")...)
		for query, want := range map[string]bool{
			"": false, "?last=2": false, "?last_event_id=" + ids[3].String(): true, "?last_event_id=" + ids[1].String(): true,
			"?last_event_id=" + ids[0].String(): false, "?last_event_id=x": false, "?last_event_id=1-0": false,
		} {
			s := f.subscribe(t, query)
			synctest.Wait()
			if c := f.handler.Conns()[0]; s.hello["resumed"] != want || c.Resumed != want {
				t.Errorf("%q: connected says %v, the connection %v; want %v", query, s.hello["resumed"], c.Resumed, want)
			}
			s.close()
			synctest.Wait()
		}
	})
}

// What came before a stream was opened is a replay, in each format, however it
// was asked for; what comes from then on is live.
func TestReplayIsToldApart(t *testing.T) {
	var mu sync.Mutex
	var live, replayed int
	hub := stream.HubOptions{
		Formats: map[stream.Format]stream.Formatter{"upper": func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
			return "", append(dst, "X"...), nil
		}},
		Hooks: stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{Flush: func(f *stream.Flush) {
				mu.Lock()
				defer mu.Unlock()
				live, replayed = live+f.Events-f.Replayed, replayed+f.Replayed
			}}
		}},
	}
	bubble(t, hub, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		for _, format := range []string{"data", "json", "upper"} {
			ids := f.publish(t, "1", "2", "3", "4")
			for query, want := range map[string]int{"": 0, "&last=3": 3, "&last_event_id=" + ids[1].String(): 2} {
				from := f.subscribe(t, "?format="+format+query)
				from.wantIDs(t, ids[len(ids)-want:]...)
				synctest.Wait()
				mu.Lock()
				if replayed != want || live != 0 {
					t.Errorf("%s%s: %d replayed and %d live, want %d and 0", format, query, replayed, live, want)
				}
				mu.Unlock()
				from.close()
				synctest.Wait()
				mu.Lock()
				live, replayed = 0, 0
				mu.Unlock()
			}
			s := f.subscribe(t, "?format="+format+"&last=1")
			s.wantIDs(t, append(ids[3:], f.publish(t, "5", "6")...)...)
			synctest.Wait()
			mu.Lock()
			if replayed != 1 || live != 2 {
				t.Errorf("%s: %d replayed and %d live, want 1 and 2", format, replayed, live)
			}
			live, replayed = 0, 0
			mu.Unlock()
			s.close()
			synctest.Wait()
		}
	})
}

// The position is told with the first event and with each gap: a client that is
// cut off right behind one of them goes on there, and is told of no gap again.
func TestPositionIsTold(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 2}}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := append(f.publish(t, "1", "2"), f.publish(t, "3", "4")...)
		s := f.subscribe(t, "")
		if s.LastEventID() != ids[3].String() || s.hello["position"] != ids[3].String() {
			t.Errorf("behind connected the client is at %q; it says %v", s.LastEventID(), s.hello["position"])
		}
		s = f.subscribe(t, "", "Last-Event-ID", ids[0].String())
		if gap := s.want(t, "gap"); !gap.SetsID || gap.ID != ids[1].String() {
			t.Errorf("a gap has the ID %q, want %v", gap.ID, ids[1])
		}
		s = f.subscribe(t, "", "Last-Event-ID", s.LastEventID())
		s.wantIDs(t, ids[2:]...)
	})
}
