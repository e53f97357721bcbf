package stream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// Who asks for one event gets that alone, or hears that it is not held. That is no
// stream: nobody is told of one, nor of a gap, and no stream was refused.
func TestOneEventAlone(t *testing.T) {
	var told []string
	hooks := stream.Hooks{
		Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			told = append(told, "stream")
			return stream.ConnHooks{Gap: func(*eventlog.Gap, time.Time) { told = append(told, "gap") }}
		},
		Reject: func(*http.Request, *stream.Refusal) { told = append(told, "refused") },
	}
	bubble(t, stream.HubOptions{Hooks: hooks, Topic: stream.TopicOptions{History: 4}}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Second)
		ids := append(f.publish(t, "0", "1"), f.publish(t, "2", "3", "4", "5")...)
		ask := func(query string) (int, string) {
			t.Helper()
			resp, err := f.client.Get("http://weir/?" + query)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(b)
		}
		if status, got := ask("event=" + ids[3].String()); status != http.StatusOK || got != "data: 3\nid: "+ids[3].String()+"\n\n" {
			t.Errorf("one that is held: %d %q", status, got)
		}
		if status, got := ask("format=json&event=" + ids[5].String()); status != http.StatusOK || !strings.Contains(got, `"data":5`) || strings.Count(got, "\n\n") != 1 {
			t.Errorf("one that is held, as JSON: %d %q", status, got)
		}
		for query, says := range map[string]string{
			"event=" + ids[1].String():                    "does not hold this event: it would be older",
			"event=5-5":                                   "does not hold this event",
			"event=" + ids[5].String() + "9":              "holds no such event",
			"event=99999999999999-0":                      "holds no such event",
			"event=" + ids[3].String() + "&subject=other": "holds no such event",
		} {
			if status, got := ask(query); status != http.StatusNotFound || !strings.Contains(got, says) {
				t.Errorf("%s: %d %q; want 404 that says %q", query, status, got, says)
			}
		}
		if told != nil {
			t.Errorf("hooks were told of %v", told)
		}
		told = nil
		for _, query := range []string{"event=5-5-5", "event=", "event=5-5&event=6-6", "event=5-5&last=1", "event=5-5&last_event_id=4-4"} {
			if status, got := ask(query); status != http.StatusBadRequest {
				t.Errorf("%s: %d %q", query, status, got)
			}
		}
		if n := len(f.handler.Conns()); n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
}
