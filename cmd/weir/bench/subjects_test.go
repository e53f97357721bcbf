package bench

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// newSubjectSite is a site that takes CloudEvents, filters by subject, and makes
// topics on demand. With deaf it does not look at the subject that a reader asks for.
func newSubjectSite(t *testing.T, deaf bool) string {
	t.Helper()
	hub := stream.NewHub(stream.HubOptions{OnDemand: func(topic string) (stream.TopicOptions, bool) {
		return stream.TopicOptions{Label: "run", IdleTTL: time.Hour}, strings.HasPrefix(topic, "run.")
	}})
	if err := hub.AddTopic("bench"); err != nil {
		t.Fatal(err)
	}
	h := &stream.Handler{Hub: hub}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sse-stream", func(w http.ResponseWriter, r *http.Request) {
		if deaf {
			q := r.URL.Query()
			q.Del("subject")
			r.URL.RawQuery = q.Encode()
		}
		h.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		events := []stream.Event{{Data: body}}
		if err == nil && r.Header.Get("Content-Type") == "application/cloudevents-batch+json" {
			var batch []json.RawMessage
			err, events = json.Unmarshal(body, &batch), nil
			for _, one := range batch {
				e, parse := eventlog.ParseCloudEvent(one)
				if parse != nil {
					err = parse
				}
				events = append(events, e)
			}
		}
		if err == nil {
			_, err = hub.Publish(r.Context(), r.URL.Query().Get("topic"), events...)
		}
		if err != nil {
			t.Error(err)
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		hub.Close()
	})
	return server.URL
}

// Each stream gets the events of its subject, and is held to them alone.
func TestSubjects(t *testing.T) {
	o := short(newSubjectSite(t, false) + "/sse-stream?topic=bench&format=json")
	o.Subjects, o.Rate, o.Duration = 8, 500, 500*time.Millisecond // on 20 streams
	r := mustMeasure(t, o)
	// 250 events: two streams of each subject, and a third of the first four. 250 is
	// 31 events of each subject, and 32 of the first two.
	if want := int64(2*250 + 4*31 + 2); !r.Exact() || r.Events.Expected != want || r.Events.Delivered != want {
		t.Errorf("events: %+v, want %d", r.Events, want)
	}
	o.ReadAll = true
	if r := mustMeasure(t, o); !r.Exact() || r.Events.Delivered != 250*20 {
		t.Errorf("read all: %+v", r.Events)
	}
}

// A server that sends everybody everything has not filtered.
func TestSubjectsFindFaults(t *testing.T) {
	o := short(newSubjectSite(t, true) + "/sse-stream?topic=bench&format=json")
	o.Subjects = 8
	if r := mustMeasure(t, o); r.Exact() {
		t.Errorf("nothing was found: %+v", r.Events)
	}
}

func TestTopics(t *testing.T) {
	live := int64(1 << 20)
	o := Options{
		URL: newSubjectSite(t, false) + "/sse-stream?topic=run.*&format=data", Topics: 50, Duration: 200 * time.Millisecond, Settle: time.Millisecond, Token: "secret",
		Heap: func() (int64, error) { live += 50 * 2000; return live, nil },
	}
	r := mustMeasure(t, o)
	if tp := r.Topics; tp.Made != 50 || tp.Bytes != 2000 || tp.Requests < 1 || tp.First < 1 || r.Latency.Samples != int64(tp.First) || r.Latency.Max <= 0 {
		t.Errorf("topics: %+v, latency: %+v", tp, r.Latency)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "50 made") || !strings.Contains(text.String(), "2.00 kB each") {
		t.Errorf("%v: %s", err, text.String())
	}
	o.URL = strings.Replace(o.URL, "run.*", "other.*", 1) // which nobody makes
	if _, err := Measure(t.Context(), o); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a topic that cannot be made: %v", err)
	}
}
