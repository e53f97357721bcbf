package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/web"
	"weir/web/rights"
)

type streamsFrame struct {
	Full   bool `json:"full"`
	Topics []struct {
		Name          string `json:"name"`
		Streams       int    `json:"streams"`
		Head, Entries uint64
		Notices       uint64
	} `json:"topics"`
	Open []struct {
		N         int `json:"n"`
		ID, Topic string
	} `json:"open"`
	Moved [][9]int64 `json:"moved"`
	Gone  []int      `json:"gone"`
	Ended []struct {
		N              int
		ID, Reason     string
		Fault          bool
		Events, Unsent int64
		AtLeast        bool
	} `json:"ended"`
	MoreTopics, MoreFaulted, MoreLeft int
	Draining                          bool
}

// frames reads the picture of the streams.
func frames(t *testing.T, sub *subscription) func() streamsFrame {
	t.Helper()
	return func() streamsFrame {
		for {
			m, err := sub.Next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Event != "message" {
				continue
			}
			var e struct{ Data streamsFrame }
			if err := json.Unmarshal(m.Data, &e); err != nil {
				t.Fatalf("%v in %s", err, m.Data)
			}
			return e.Data
		}
	}
}

func TestStreamsTellWhatHasChanged(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	reader := subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
	next := frames(t, subscribe(t, server.URL+"/streams"))
	first := next()
	if !first.Full || len(first.Topics) != 2 || len(first.Open) != 1 || first.Open[0].Topic != "one" || len(first.Open[0].ID) != 8 || first.Topics[0].Streams != 1 {
		t.Fatalf("the first frame is %+v", first)
	}
	if !strings.HasPrefix(s.handler.Conns()[0].ID, first.Open[0].ID) {
		t.Errorf("the stream is called %s", first.Open[0].ID)
	}
	if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for f := next(); len(f.Moved) == 0 || f.Moved[0][2] != 1; f = next() {
		if time.Now().After(deadline) {
			t.Fatal("the delivery is not told")
		}
	}
	reader.close()
	n := first.Open[0].N
	for f := next(); ; f = next() {
		if len(f.Gone) == 1 && f.Gone[0] == n || f.Full && len(f.Open) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stream's end is not told")
		}
	}
}

// A reader keeps its number, whoever comes to look: the table and the marks go by it.
func TestReadersKeepTheirNumbers(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	for range 8 {
		subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
	}
	next := frames(t, subscribe(t, server.URL+"/streams"))
	numbers := make(map[string]int)
	for _, reader := range next().Open {
		numbers[reader.ID] = reader.N
	}
	if len(numbers) != 8 {
		t.Fatalf("%d readers are told at first, want 8", len(numbers))
	}
	again := frames(t, subscribe(t, server.URL+"/streams"))() // it is told everything
	if !again.Full || len(again.Open) != 8 || len(again.Moved) != 8 {
		t.Fatalf("one who comes later is told %+v", again)
	}
	for _, reader := range again.Open {
		if numbers[reader.ID] != reader.N {
			t.Errorf("%s was number %d, and is %d", reader.ID, numbers[reader.ID], reader.N)
		}
	}
}

// A topic that was made on demand is in the picture while somebody reads it.
func TestStreamsShowTopicsOnDemand(t *testing.T) {
	demand := func(topic string) (stream.TopicOptions, bool) {
		return stream.TopicOptions{}, strings.HasPrefix(topic, "run.")
	}
	s := newSiteOn(t, stream.HubOptions{OnDemand: demand}, nil)
	server := s.listen()
	subscribe(t, server.URL+"/sse-stream?topic=run.7&format=json")
	first := frames(t, subscribe(t, server.URL+"/streams"))()
	if len(first.Topics) != 3 || first.Topics[0].Name != "run.7" || first.Topics[0].Streams != 1 {
		t.Errorf("the first frame has the topics %+v, want run.7 before the two without readers", first.Topics)
	}
}

// The topic that a watcher has chosen is in the picture, also among more topics that
// nobody reads than the picture takes; the others are counted.
func TestStreamsShowTopicsThatNobodyReads(t *testing.T) {
	demand := func(topic string) (stream.TopicOptions, bool) {
		return stream.TopicOptions{}, strings.HasPrefix(topic, "run.")
	}
	s := newSiteOn(t, stream.HubOptions{OnDemand: demand}, nil)
	for n := range 60 {
		if _, err := s.hub.Publish(t.Context(), fmt.Sprint("run.", n), stream.Event{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	server := s.listen()
	subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
	next := frames(t, subscribe(t, server.URL+"/streams?with=run.33"))
	first := next()
	if len(first.Topics) != 50 || first.MoreTopics != 12 || first.Topics[0].Name != "run.33" || first.Topics[0].Entries != 1 || first.Topics[1].Name != "one" {
		t.Fatalf("%d topics and %d more, the first %+v, want 50 and 12, run.33 before one, which is read", len(first.Topics), first.MoreTopics, first.Topics[:2])
	}
	var names []string
	for _, topic := range first.Topics {
		names = append(names, topic.Name)
	}
	for range 3 { // they stay, and in their order
		for i, topic := range next().Topics {
			if topic.Name != names[i] {
				t.Fatalf("%s stands where %s stood", topic.Name, names[i])
			}
		}
	}
}

// A browser that goes to the address of the picture gets the page with that view, and a
// page that asks for a token; nobody else does.
func TestStreamsAddressIsOfThePage(t *testing.T) {
	s := newSite(t, nil)
	needs := newSite(t, func(o *web.Options) {
		access, err := rights.New(rights.Options{SubscribeToken: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		o.Access.Rights = access
	})
	for _, c := range []struct {
		name string
		w    *httptest.ResponseRecorder
		want int
		page bool
	}{
		{"a browser", s.ofLoopback("/streams", "Accept", "text/html,*/*;q=0.8"), 200, true},
		{"a browser that says that it navigates", s.ofLoopback("/streams", "Accept", "text/html,*/*", "Sec-Fetch-Mode", "navigate"), 200, true},
		{"a browser without the right yet", needs.ofLoopback("/streams", "Accept", "text/html"), 200, true},
		{"a program without the right", needs.ofLoopback("/streams", "Accept", "*/*"), 401, false},
		{"a browser that may not look", s.do("GET", "/streams", "", "Accept", "text/html"), 403, false},
		{"a browser behind a proxy", s.ofLoopback("/streams", "Accept", "text/html", "X-Forwarded-For", "192.0.2.1"), 403, false},
	} {
		is := strings.Contains(c.w.Body.String(), `data-view="streams"`)
		if c.w.Code != c.want || is != c.page && web.HasAssets() || !strings.Contains(c.w.Header().Get("Vary"), "Accept") {
			t.Errorf("%s: %d, the page with the view: %v; Vary %q", c.name, c.w.Code, is, c.w.Header().Get("Vary"))
		}
	}
	if header := subscribe(t, s.listen().URL+"/streams", "Accept", "text/event-stream").resp.Header; !strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("a page that reads the picture gets %v", header)
	}
}

// A page without the view of everybody's streams says where that is, to whom it is of use.
func TestPageSaysWhereTheStreamsAre(t *testing.T) {
	if !web.HasAssets() {
		t.Skip("needs the page's assets: run make assets")
	}
	needs := func(o *web.Options) {
		access, err := rights.New(rights.Options{SubscribeToken: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		o.Access.Rights = access
	}
	onAdmin := newSite(t, func(o *web.Options) { o.Admin = true })
	const admin, loopback = "Streams and Traces are on the admin address.", "streams are shown on an admin address (-admin-addr), and on a loopback address."
	for _, c := range []struct {
		name string
		w    *httptest.ResponseRecorder
		want string
	}{
		{"on loopback", newSite(t, nil).ofLoopback("/"), ""},
		{"on another address", newSite(t, nil).do("GET", "/", ""), loopback},
		{"beside an admin address", onAdmin.ofLoopback("/"), admin},
		{"before a token is shown", newSite(t, needs).ofLoopback("/"), ""},
	} {
		body := c.w.Body.String()
		if c.w.Code != 200 {
			t.Fatalf("%s: %d", c.name, c.w.Code)
		}
		for _, text := range []string{admin, loopback} {
			if got := strings.Contains(body, text); got != (text == c.want) {
				t.Errorf("%s: “%s” is said: %v", c.name, text, got)
			}
		}
	}
}

// Everybody's streams are shown to whom they may be.
func TestWhoMaySeeTheStreams(t *testing.T) {
	open := newSite(t, nil).listen().URL
	withRights := newSite(t, func(o *web.Options) {
		access, err := rights.New(rights.Options{SubscribeToken: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		o.Access.Rights = access
	}).listen().URL
	onAdmin := newSite(t, func(o *web.Options) { o.Admin = true }).listen().URL
	for _, c := range []struct {
		name, url string
		header    []string
		want      int
	}{
		{"loopback without rights", open, nil, 200},
		{"by a proxy", open, []string{"X-Forwarded-For", "192.0.2.1"}, 403},
		{"by a proxy that tells the address alone", open, []string{"X-Real-Ip", "192.0.2.1"}, 403},
		{"by a proxy that tells the host alone", open, []string{"X-Forwarded-Host", "weir.example"}, 403},
		{"without the right", withRights, nil, 401},
		{"with the right", withRights, []string{"Authorization", "Bearer secret"}, 200},
		{"moved to the admin address", onAdmin, nil, 404},
	} {
		req, _ := http.NewRequest("GET", c.url+"/streams", nil)
		for i := 0; i < len(c.header); i += 2 {
			req.Header.Set(c.header[i], c.header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.name, resp.StatusCode, c.want)
		}
	}
	// Not on a loopback address: newRequest has none.
	if w := newSite(t, nil).do("GET", "/streams", ""); w.Code != 403 {
		t.Errorf("on another address: %d, want 403", w.Code)
	}
}
