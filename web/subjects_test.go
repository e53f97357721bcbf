package web_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/telemetry/journey"
	"weir/web"
)

// A right that is narrowed to some subjects of a topic ends the streams that
// read more than it allows now, and no others.
func TestRightIsNarrowed(t *testing.T) {
	path := tokenFile(t, "subscribe reader one\nsubscribe other one")
	access := mustRights(t, "", "", path)
	s := newSite(t, func(o *web.Options) { o.Access.Rights = access })
	url := s.listen().URL
	open := func(token, query string) *subscription {
		return subscribe(t, url+"/sse-stream?topic=one"+query, "Authorization", "Bearer "+token)
	}
	ending := map[string]*subscription{
		"the whole topic":          open("reader", ""),
		"another subject":          open("reader", "&subject=us.ny"),
		"one allowed, one not":     open("reader", "&subject=eu.de&subject=us.ny"),
		"a prefix above the right": open("reader", "&subject=eu.*"),
	}
	going := map[string]*subscription{
		"a subject that is allowed": open("reader", "&subject=eu.de"),
		"two that are allowed":      open("reader", "&subject=eu.de&subject=eu.fr.*"),
		"another's":                 open("other", ""),
	}
	if err := os.WriteFile(path, []byte("subscribe reader one/eu.de,one/eu.fr.*\nsubscribe other one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := access.Reload(); err != nil {
		t.Fatal(err)
	}
	s.server.EndRevoked()
	if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Subject: "eu.de", Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	for name, sub := range ending {
		if m, err := sub.Next(); err != nil || m.Event != "close" || !strings.Contains(string(m.Data), "revoked") {
			t.Errorf("%s goes on: %+v %v", name, m, err)
		}
	}
	for name, sub := range going {
		if m, err := sub.Next(); err != nil || m.Event == "close" {
			t.Errorf("%s has ended: %+v %v", name, m, err)
		}
	}
	until(t, "the streams that were revoked to be gone", func() bool {
		return s.handler.Totals().Closed[stream.CloseRevoked] == int64(len(ending)) && s.handler.Active() == len(going)
	})
}

// Who may read some subjects of a topic is told of those: of their streams and of
// their traces, not of the others'.
func TestOnlyOwnSubjectsAreTold(t *testing.T) {
	traces := journey.NewStore("node-1", 0, 0)
	ids := make(map[string]string) // of the traces, by subject
	for i, subject := range []string{"eu.de", "us.ny", ""} {
		ref := journey.Ref{Trace: [16]byte{1, byte(i)}, Span: [8]byte{1}}
		now := time.Now()
		traces.Publish(ref, journey.Event{Topic: "one", ID: fmt.Sprintf("%d-0", now.UnixMilli()), Subject: subject, Node: "node-1", Published: now},
			journey.Span{Began: now, Ended: now.Add(time.Millisecond)})
		ids[subject] = ref.TraceID()
	}
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Observe.Traces = traces
		o.Access.Rights = mustRights(t, "", "all", tokenFile(t, "subscribe part one/eu.*"))
	})
	url := s.listen().URL
	for _, query := range []string{"", "&subject=us.ny", "&subject=eu.de&subject=us.ny", "&subject=eu.de"} {
		subscribe(t, url+"/sse-stream?topic=one"+query, "Authorization", "Bearer all")
	}
	for token, want := range map[string][]string{"all": {"", "eu.de", "us.ny"}, "part": {"eu.de"}} {
		header := []string{"Authorization", "Bearer " + token, "Accept", "application/json"}
		health := decode[healthAnswer](t, s.do("GET", "/sse-health", "", header...), 200)
		told := 0
		for id := range health.ConnectionDetails {
			if c := s.handler.Conn(id); token == "part" && !slices.Equal(c.Subjects, want) {
				t.Errorf("health tells %s of a stream of %q", token, c.Subjects)
			}
			told++
		}
		if token == "part" && told != 1 || token == "all" && told != 4 {
			t.Errorf("health tells %s of %d streams", token, told)
		}
		for _, c := range s.handler.Conns() {
			one := decode[healthAnswer](t, s.do("GET", "/sse-health?connection="+c.ID, "", header...), 200)
			if may := token == "all" || slices.Equal(c.Subjects, want); (len(one.ConnectionDetails) == 1) != may {
				t.Errorf("health tells %s of %d streams of %q by their ID", token, len(one.ConnectionDetails), c.Subjects)
			}
		}
		var listed []string
		for _, line := range decode[web.TraceList](t, s.do("GET", "/traces", "", header...), 200).Traces {
			listed = append(listed, line.Subject)
		}
		slices.Sort(listed)
		if !slices.Equal(listed, want) {
			t.Errorf("the list of traces tells %s of %q, want %q", token, listed, want)
		}
		for subject, id := range ids {
			w := s.do("GET", "/traces/"+id, "", header...)
			if may := slices.Contains(want, subject); (w.Code == 200) != may || strings.Contains(w.Body.String(), `"event_id"`) != may {
				t.Errorf("the journey of an event about %q, for %s: %d %s", subject, token, w.Code, w.Body)
			}
		}
	}
}
