package stream_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/stream"
)

// What a request asks for is bounded, and the bound itself is allowed.
func TestBoundsOfASubscription(t *testing.T) {
	parse := func(query string, header ...string) (*stream.Subscription, error) {
		r := httptest.NewRequest("GET", "/?"+query, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return stream.ParseSubscription(r)
	}
	for query, want := range map[string]int{"": 0, "last=0": 0, "last=50": 50, "last=10000": 10_000, "last=10001": 10_000, "last=2000000000": 10_000} {
		if sub, err := parse(query); err != nil || sub.Last != want {
			t.Errorf("%s: %+v, %v; want the last %d", query, sub, err, want)
		}
	}
	for n, ok := range map[int]bool{1: true, 64: true, 65: false} {
		var query []string
		for i := range n {
			query = append(query, fmt.Sprint("subject=s.", i))
		}
		if sub, err := parse(strings.Join(query, "&")); (err == nil) != ok || ok && len(sub.Subjects) != n {
			t.Errorf("%d subjects: %+v, %v", n, sub, err)
		}
	}
	// The header wins, also where it makes no sense: the client has said where it
	// is, and nobody knows where.
	if sub, err := parse("last_event_id=5-1", "Last-Event-ID", "nonsense"); err != nil || sub.Resume != nil {
		t.Errorf("a header that is no ID before a query that is one: resumes from %v, %v", sub.Resume, err)
	}
}

// Who asks for a format that there is not is told which there are.
func TestFormatsAreNamed(t *testing.T) {
	own := map[stream.Format]stream.Formatter{"html": func(dst []byte, _ string, e *stream.Event) (string, []byte, error) { return "", dst, nil }}
	bubble(t, stream.HubOptions{Formats: own}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		if s := f.subscribe(t, "?format=xml"); s.status != 400 || !strings.Contains(s.problem, "data, html, json") {
			t.Errorf("%d %s", s.status, s.problem)
		}
	})
}

// Readers of some subjects that have one in common have each their own.
func TestFiltersThatOverlap(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		put := func(subject string) stream.ID {
			ids, err := f.hub.Publish(t.Context(), "a", stream.Event{Subject: subject, Data: []byte("1")})
			if err != nil {
				t.Fatal(err)
			}
			return ids[0]
		}
		us, ww := f.subscribe(t, "?subject=eu&subject=us"), f.subscribe(t, "?subject=eu&subject=ww")
		all := f.subscribe(t, "")
		first, second, third := put("us"), put("ww"), put("eu")
		us.wantIDs(t, first, third)
		ww.wantIDs(t, second, third)
		all.wantIDs(t, first, second, third)
	})
}
