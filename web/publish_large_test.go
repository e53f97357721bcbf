package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/web"
)

func TestPublishLimitOfEvents(t *testing.T) {
	s := newPublishSite(t, nil)
	w := s.do("POST", "/publish?topic=one", strings.Repeat("1\n", 10_000), withToken("Content-Type", "application/x-ndjson")...)
	if w.Code != 413 || s.entries("one") != 0 {
		t.Errorf("more than the history holds: %d, and %d are in", w.Code, s.entries("one"))
	}
	w = s.do("POST", "/publish?topic=one", strings.Repeat("1\n", 4096), withToken("Content-Type", "application/x-ndjson")...)
	if ids := decode[struct{ IDs []string }](t, w, 200).IDs; len(ids) != 4096 {
		t.Errorf("%d IDs", len(ids))
	}
}

// What is deep or wide, and still JSON, is an event: shown, and not the end of
// anybody.
func TestPublishLargeJSON(t *testing.T) {
	wide := "{" + strings.Repeat(`"k":1,`, 20_000) + `"z":1}`
	for name, body := range map[string]string{
		"deep":        strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000),
		"wide":        wide,
		"long number": strings.Repeat("9", 1<<19),
		"long text":   `"` + strings.Repeat(`\u0000`, 1<<17) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newPublishSite(t, nil)
			sub := subscribe(t, s.listen().URL+"/sse-stream?topic=one&format=html")
			if w := s.do("POST", "/publish?topic=one", body, withToken("Content-Type", "application/json")...); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			m, err := sub.Next()
			if err != nil || !strings.Contains(string(m.Data), `class="data-item"`) {
				t.Errorf("%v: %.200s", err, m.Data)
			}
			if len(m.Data) > 64<<10 {
				t.Errorf("a row of %d bytes", len(m.Data))
			}
		})
	}
}

func TestPublishEndedTopic(t *testing.T) {
	s := newPublishSite(t, nil)
	if err := s.hub.EndTopic("one", "over"); err != nil {
		t.Fatal(err)
	}
	w := s.do("POST", "/publish?topic=one", "1", withToken("Content-Type", "application/json")...)
	if p := wantProblem(t, w, http.StatusGone, "ended"); p.Reason != "ended" {
		t.Errorf("reason %q", p.Reason)
	}
}

// A brokenBroker cannot be reached.
type brokenBroker struct{}

func (brokenBroker) Publish(context.Context, string, *stream.Publication) error {
	return fmt.Errorf("dial 10.1.2.3:6379: %w", stream.ErrUnavailable)
}

func (brokenBroker) Follow(_ string, _ *eventlog.Log, report func(error)) (stop func()) {
	for range 3 {
		report(fmt.Errorf("dial 10.1.2.3:6379: %w", stream.ErrUnavailable))
	}
	return func() {}
}

func TestPublishWithoutBroker(t *testing.T) {
	s := newSiteOn(t, stream.HubOptions{Broker: brokenBroker{}}, func(o *web.Options) { o.Access.Rights = mustRights(t, secret, "", "") })
	w := s.do("POST", "/publish?topic=one", "1", withToken("Content-Type", "application/json")...)
	p := wantProblem(t, w, 503, "not acknowledged")
	if p.Reason != "broker" || w.Header().Get("Retry-After") == "" {
		t.Errorf("reason %q, Retry-After %q", p.Reason, w.Header().Get("Retry-After"))
	}
	if strings.Contains(w.Body.String(), "10.1.2.3") {
		t.Error("the answer tells internals")
	}
	w = s.glance("/sse-stream?topic=one")
	if wantProblem(t, w, 503, "broker"); w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// A hangingBroker answers nobody.
type hangingBroker struct{ brokenBroker }

func (hangingBroker) Publish(ctx context.Context, _ string, _ *stream.Publication) error {
	<-ctx.Done()
	return ctx.Err()
}

// Who waits for a broker that does not answer is told so in time, and that the event
// may be in.
func TestPublishToABrokerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOn(t, stream.HubOptions{Broker: hangingBroker{}}, func(o *web.Options) { o.Access.Rights = mustRights(t, secret, "", "") })
		began := time.Now()
		w := s.do("POST", "/publish?topic=one", "1", withToken("Content-Type", "application/json")...)
		if p := wantProblem(t, w, 503, "does not know whether it did"); p.Reason != "broker" || w.Header().Get("Retry-After") == "" {
			t.Errorf("reason %q, Retry-After %q", p.Reason, w.Header().Get("Retry-After"))
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A body may be as large as it may be, and no batch carries more events than lines do.
func TestPublishAtTheBounds(t *testing.T) {
	s := newPublishSite(t, nil)
	for size, status := range map[int]int{1 << 20: 200, 1<<20 + 1: 413} {
		if w := s.do("POST", "/publish?topic=one", strings.Repeat("x", size), withToken("Content-Type", "text/plain")...); w.Code != status {
			t.Errorf("a body of %d bytes: %d, want %d", size, w.Code, status)
		}
	}
	batch := func(n int) string { return "[" + strings.Repeat("1,", n-1) + "1]" }
	for n, says := range map[int]string{10_000: "event 1 of 10000", 10_001: "at most 10000 events"} {
		wantProblem(t, s.do("POST", "/publish?topic=one", batch(n), withToken("Content-Type", "application/cloudevents-batch+json")...), 400, says)
	}
}

func TestPublishBodyThatBreaksOff(t *testing.T) {
	s := newPublishSite(t, nil)
	r := newRequest("POST", "/publish?topic=one", "", withToken("Content-Type", "text/plain")...)
	r.Body = io.NopCloser(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("half of it"))))
	r.ContentLength = -1
	wantProblem(t, ask(s.public, r), 400, "did not arrive whole")
	if s.entries("one") != 0 {
		t.Error("half an event got in")
	}
}

// The trace context of the request is that of its events, unless they have one.
func TestPublishTraceparent(t *testing.T) {
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tc := range []struct{ header, body, want string }{
		{traceparent, `{"specversion":"1.0","id":"1","source":"s","type":"t"}`, traceparent},
		{traceparent, `{"specversion":"1.0","id":"1","source":"s","type":"t","traceparent":"` + own + `"}`, own},
		{"not one", `{"specversion":"1.0","id":"1","source":"s","type":"t"}`, ""},
	} {
		s := newPublishSite(t, nil)
		if w := s.do("POST", "/publish?topic=one", tc.body, withToken("Content-Type", "application/cloudevents+json", "Traceparent", tc.header)...); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		log, err := s.hub.Reader("one")
		if err != nil {
			t.Fatal(err)
		}
		batch, err := log.From(stream.ID{}).Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := batch[0].Event.Traceparent; got != tc.want {
			t.Errorf("traceparent %q, want %q", got, tc.want)
		}
	}
}

func TestPublishRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPublishSite(t, func(o *web.Options) { o.Limits.PublishRate = 5 })
		post := func(addr, token string) int {
			r := newRequest("POST", "/publish?topic=one", "1", "Authorization", "Bearer "+token, "Content-Type", "application/json")
			r.RemoteAddr = addr
			w := ask(s.public, r)
			if w.Code == 429 {
				if p := wantProblem(t, w, 429, "application/x-ndjson"); p.Reason != "publish_rate" || w.Header().Get("Retry-After") != "1" {
					t.Errorf("reason %q, Retry-After %q", p.Reason, w.Header().Get("Retry-After"))
				}
			}
			return w.Code
		}
		count := func(n int, addr, token string) map[int]int {
			codes := map[int]int{}
			for range n {
				codes[post(addr, token)]++
			}
			return codes
		}
		if got := count(20, "192.0.2.1:1", secret); got[200] != 6 || got[429] != 14 {
			t.Errorf("at first %v", got)
		}
		if got := count(1, "192.0.2.2:1", secret); got[200] != 1 {
			t.Errorf("another client: %v", got)
		}
		time.Sleep(time.Second)
		if got := count(20, "192.0.2.1:2", secret); got[200] != 5 {
			t.Errorf("after a second %v", got)
		}
		time.Sleep(time.Hour)
		if got := count(20, "192.0.2.1:3", secret); got[200] != 6 {
			t.Errorf("after an hour %v", got)
		}
		// Guessing tokens costs as much.
		if got := count(20, "192.0.2.3:1", "guess"); got[401] != 6 || got[429] != 14 {
			t.Errorf("a guesser: %v", got)
		}
	})
}

// An empty text is a text.
func TestPublishEmptyText(t *testing.T) {
	s := newPublishSite(t, nil)
	w := s.do("POST", "/publish?topic=one", "", withToken("Content-Type", "text/plain")...)
	decode[struct{ IDs []string }](t, w, 200)
	if got := s.held("one"); !slices.Equal(got, []string{""}) {
		t.Errorf("the topic holds %q", got)
	}
}
