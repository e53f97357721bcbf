package stream_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"weir/stream"
)

// Whatever a request asks for is refused, or is a subscription within its bounds
// that a handler answers, the last event ID by header or by query.
func FuzzSubscription(f *testing.F) {
	f.Add("topic=t&subject=eu.*&subject=1&last=3&format=json", "5-1")
	f.Add("lastEventId=7-0&last_event_id=", "")
	f.Add("last_event_id=x", "\x00")
	f.Add("topic=t&topic=u", "99999999999999999999-1")
	f.Add("subject=%zz;a=b&last=-1", "0")
	hub := stream.NewHub(stream.HubOptions{})
	f.Cleanup(hub.Close)
	if err := hub.AddTopic("t"); err != nil {
		f.Fatal(err)
	}
	if _, err := hub.Publish(f.Context(), "t", stream.Event{Data: []byte("1"), Subject: "eu.de"}); err != nil {
		f.Fatal(err)
	}
	hub.EndTopic("t", "over") // so that each stream has an end
	handler := &stream.Handler{Hub: hub}
	f.Fuzz(func(t *testing.T, query, id string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		r.Header["Last-Event-Id"] = []string{id}
		sub, err := stream.ParseSubscription(r)
		if err == nil {
			if len(sub.Subjects) > 64 || sub.Last < 0 || sub.Last > 10_000 {
				t.Errorf("%q asks for %d subjects and %d events", query, len(sub.Subjects), sub.Last)
			}
			if values, _ := url.ParseQuery(query); sub.Topic != values.Get("topic") {
				t.Errorf("%q asks for topic %q", query, sub.Topic)
			}
			if want, err := stream.ParseID(id); id != "" && (err == nil) != (sub.Resume != nil && *sub.Resume == want) {
				t.Errorf("%q: resumes from %v", id, sub.Resume)
			}
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusNoContent:
			if err != nil {
				t.Errorf("%q is refused by one (%v), and answered by the other", query, err)
			}
		case http.StatusBadRequest, http.StatusNotFound:
		default:
			t.Errorf("%q, %q: %d %q", query, id, w.Code, w.Body)
		}
	})
}
