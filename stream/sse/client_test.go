package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/sse"
)

// A script answers requests in memory, one after another, so that the tests of
// times can run inside a bubble.
type script struct {
	mu      sync.Mutex
	answers []answer // the last one again and again
	asked   []asked
}

type answer struct {
	status int // 0: the connection is refused; -1: there is no answer
	header http.Header
	body   string
	// stay is for how long the stream stays open behind the body; -1 for ever.
	stay time.Duration
}

type asked struct {
	at     time.Time
	header http.Header
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	a := s.answers[min(len(s.asked), len(s.answers)-1)]
	s.asked = append(s.asked, asked{time.Now(), req.Header})
	s.mu.Unlock()
	if a.status == 0 {
		return nil, errors.New("connection refused")
	}
	if a.status < 0 {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	header := http.Header{"Content-Type": {"text/event-stream"}}
	for name, values := range a.header {
		header[name] = values
	}
	r, w := io.Pipe()
	ctx := req.Context()
	go func() {
		_, _ = io.WriteString(w, a.body)
		if a.stay >= 0 {
			select {
			case <-time.After(a.stay):
				_ = w.Close()
				return
			case <-ctx.Done():
			}
		}
		<-ctx.Done()
		_ = w.CloseWithError(ctx.Err())
	}()
	return &http.Response{StatusCode: a.status, Header: header, Body: r, Request: req, ProtoMajor: 1}, nil
}

// waits are the times between the requests.
func (s *script) waits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waits []time.Duration
	for i := 1; i < len(s.asked); i++ {
		waits = append(waits, s.asked[i].at.Sub(s.asked[i-1].at))
	}
	return waits
}

// ids are the last event IDs of the requests; "-" where there was no header.
func (s *script) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, a := range s.asked {
		if values, ok := a.header["Last-Event-Id"]; ok {
			ids = append(ids, values[0])
		} else {
			ids = append(ids, "-")
		}
	}
	return ids
}

func (s *script) options() *sse.Options {
	return &sse.Options{HTTPClient: &http.Client{Transport: s}}
}

// read collects what a sequence yields, at most so much of it.
func read(ctx context.Context, o *sse.Options, most int) (got []string, err error) {
	return collect(sse.NewClient("http://test/stream", o), ctx, most)
}

func collect(c *sse.Client, ctx context.Context, most int) (got []string, err error) {
	for m, e := range c.Messages(ctx) {
		var gap *sse.GapError
		switch {
		case errors.As(e, &gap):
			got = append(got, fmt.Sprintf("gap %s %s %s", gap.From, gap.To, gap.Reason))
		case e != nil:
			err = e
		default:
			got = append(got, m.Event+" "+m.ID+" "+string(m.Data))
		}
		if len(got) == most {
			break
		}
	}
	return got, err
}

func within(d, least, most time.Duration) bool { return d >= least && d <= most }

const event1, event2 = "id: 1\ndata: a\n\n", "id: 2\ndata: b\n\n"

func TestClientComesBackBehindTheLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			{status: 200, body: event1 + "id: 2\ndata: cut"},
			{status: 200, body: "data: without an ID\n\nid: 7\n\n"},
			{status: 200, body: "id:\ndata: forget\n\n"},
			{status: 200, body: event2},
			{status: 204},
		}}
		got, err := read(t.Context(), s.options(), -1)
		want := []string{"message 1 a", "message 1 without an ID", "message  forget", "message 2 b"}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
		if ids := s.ids(); !slices.Equal(ids, []string{"-", "1", "7", "-", "2"}) {
			t.Errorf("asked behind %q", ids)
		}
	})
}

func TestClientWaitsLongerAfterEachFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			{}, {}, {status: 500}, {status: 503}, {}, {}, {},
			{status: 200, body: event1, stay: time.Minute}, // and all is forgotten
			{status: 200, body: event2},                    // a short one is a failure, too
			{status: 200}, {status: 204},
		}}
		_, err := read(t.Context(), s.options(), -1)
		if err != nil {
			t.Fatal(err)
		}
		sec := time.Second
		for i, least := range []time.Duration{2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec, 30 * sec, 30 * sec, 62 * sec, 2 * sec, 4 * sec} {
			most := least + least/2
			if i == 7 {
				most = 63 * sec
			}
			if wait := s.waits()[i]; !within(wait, least, most) {
				t.Errorf("request %d came after %v, want %v to %v", i+1, wait, least, most)
			}
		}
	})
}

func TestClientIsSpreadByChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 20 {
			s := &script{answers: []answer{{}, {status: 204}}}
			if _, err := read(t.Context(), s.options(), -1); err != nil {
				t.Fatal(err)
			}
			seen[s.waits()[0]] = true
		}
		if len(seen) < 10 {
			t.Errorf("20 clients came back at %d times", len(seen))
		}
	})
}

func TestClientHonoursWhatTheServerAsks(t *testing.T) {
	day := func(s string) http.Header { return http.Header{"Retry-After": {s}} }
	for _, tc := range []struct {
		name        string
		first       answer
		least, most time.Duration
	}{
		{"retry", answer{status: 200, body: "retry: 7000\ndata: x\n\n"}, 7 * time.Second, 11 * time.Second},
		{"retry without data", answer{status: 200, body: "retry: 7000\n\n"}, 7 * time.Second, 11 * time.Second},
		{"retry beyond the limit", answer{status: 200, body: "retry: 600000\n\n"}, 10 * time.Minute, 15 * time.Minute},
		{"retry 0", answer{status: 200, body: "retry: 0\n\n"}, 0, 0},
		{"retry in a message that is cut off", answer{status: 200, body: "retry: 7000\n"}, 7 * time.Second, 11 * time.Second},
		{"Retry-After in seconds", answer{status: 429, header: day("90")}, 90 * time.Second, 91 * time.Second},
		{"Retry-After as a date", answer{status: 503, header: day("Sat, 01 Jan 2000 00:02:00 GMT")}, 2 * time.Minute, 121 * time.Second},
		{"Retry-After by the server's clock", answer{status: 503, header: http.Header{
			"Retry-After": {"Fri, 27 Nov 2026 10:01:00 GMT"}, "Date": {"Fri, 27 Nov 2026 10:00:00 GMT"}}}, time.Minute, 61 * time.Second},
		{"Retry-After in the past", answer{status: 503, header: day("Sat, 01 Jan 1999 00:00:00 GMT")}, 2 * time.Second, 3 * time.Second},
		{"Retry-After of nonsense", answer{status: 408, header: day("soon")}, 2 * time.Second, 3 * time.Second},
		{"Retry-After beyond all bounds", answer{status: 503, header: day("99999999999999999999999")}, 24 * time.Hour, 25 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // time begins on 1 January 2000
				s := &script{answers: []answer{tc.first, {status: 204}}}
				if _, err := read(t.Context(), s.options(), -1); err != nil {
					t.Fatal(err)
				}
				if wait := s.waits()[0]; !within(wait, tc.least, tc.most) {
					t.Errorf("it came back after %v, want %v to %v", wait, tc.least, tc.most)
				}
			})
		})
	}
}

// A server that is full asks for a time of its choice, and who is turned away
// several times is not punished for it.
func TestClientDoesNotDoubleWhatTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := answer{status: 200, body: "retry: 10000\nevent: stream-error\ndata: {}\n\n"}
		s := &script{answers: []answer{full, full, full, {status: 204}}}
		if _, err := read(t.Context(), s.options(), -1); err != nil {
			t.Fatal(err)
		}
		for i, wait := range s.waits() {
			if !within(wait, 10*time.Second, 15*time.Second) {
				t.Errorf("request %d came after %v", i+1, wait)
			}
		}
	})
}

// A server that lets everybody in and out at once, with a time of 0, must not
// be asked without pause.
func TestClientDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := &script{answers: []answer{{status: 200, body: "retry: 0\n\n"}}}
		_, err := read(ctx, s.options(), -1)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := len(s.ids()); n > 12 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}

// A message's data stays what it is when the next ones come.
func TestClientGivesDataAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: 200, body: "data: first\n\ndata: 2nd\n\ndata: 3rd\n\n"}, {status: 204}}}
		var all [][]byte
		for m, err := range sse.Read(t.Context(), "http://test/", s.options()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m.Data)
		}
		if got := fmt.Sprintf("%s", all); got != "[first 2nd 3rd]" {
			t.Errorf("the data are %s", got)
		}
	})
}

func TestClientEnds(t *testing.T) {
	cause := errors.New("the program ends")
	for _, tc := range []struct {
		name    string
		answer  answer
		url     string
		options func(*sse.Options)
		want    func(error) bool
	}{
		{name: "204", answer: answer{status: 204}, want: func(err error) bool { return err == nil }},
		{name: "close", answer: answer{status: 200, body: "event: close\ndata: {}\n\n" + event2}, want: func(err error) bool { return err == nil }},
		{name: "401", answer: answer{status: 401, body: "Log in first.\nSee there.", header: http.Header{"Content-Type": {"text/plain"}}}, want: func(err error) bool {
			var status *sse.StatusError
			return errors.As(err, &status) && status.StatusCode == 401 && strings.HasSuffix(err.Error(), "401 Unauthorized: Log in first.")
		}},
		{name: "404", answer: answer{status: 404}, want: isStatus(404)},
		{name: "201", answer: answer{status: 201}, want: isStatus(201)},
		{name: "redirect to nowhere", answer: answer{status: 301}, want: isStatus(301)},
		{name: "no stream", answer: answer{status: 200, header: http.Header{"Content-Type": {"text/html"}}}, want: func(err error) bool {
			return isStatus(200)(err) && strings.Contains(err.Error(), "text/html")
		}},
		{name: "an encoding that nobody asked for", answer: answer{status: 200, header: http.Header{"Content-Encoding": {"br"}}}, want: isError},
		{name: "a message that is too long", answer: answer{status: 200, body: "data: " + strings.Repeat("x", 5000) + "\n\n"},
			options: func(o *sse.Options) { o.MaxSize = 4096 }, want: func(err error) bool { return errors.Is(err, sse.ErrTooLong) }},
		{name: "no URL", url: "/stream", want: isError},
		{name: "no URL at all", url: "http://[::1", want: isError},
		{name: "an ID that cannot be sent", options: func(o *sse.Options) { o.LastEventID = "a\x01" }, want: isError},
		{name: "Prepare refuses", options: func(o *sse.Options) { o.Prepare = func(*http.Request) error { return cause } },
			want: func(err error) bool { return errors.Is(err, cause) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: []answer{tc.answer, {status: 200, body: event1, stay: -1}}}
				o := s.options()
				if tc.options != nil {
					tc.options(o)
				}
				if tc.url == "" {
					tc.url = "http://test/stream"
				}
				var last error
				for m, err := range sse.Read(t.Context(), tc.url, o) {
					if last = err; m.ID != "" {
						t.Fatalf("it went on, and brought %q", m.ID)
					}
				}
				if !tc.want(last) || len(s.ids()) > 1 {
					t.Errorf("got %v after %d requests", last, len(s.ids()))
				}
			})
		})
	}
}

func isError(err error) bool { return err != nil }

func isStatus(code int) func(error) bool {
	return func(err error) bool {
		var status *sse.StatusError
		return errors.As(err, &status) && status.StatusCode == code
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	cause := errors.New("enough")
	for name, a := range map[string]answer{
		"while it reads": {status: 200, stay: -1},
		"while it waits": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				began := time.Now()
				_, err := read(ctx, (&script{answers: []answer{a}}).options(), -1)
				if !errors.Is(err, cause) || time.Since(began) != time.Second {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

func TestClientTellsGapsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			{status: 200, body: "event: gap\nid: 5\ndata: {\"from\":\"1\",\"to\":\"5\",\"reason\":\"slow\"}\n\nevent: stream-error\ndata: {}\n\n" +
				"event: gap\ndata: mind it\n\nid: 6\ndata: x\n\n"},
			{status: 204},
		}}
		got, err := read(t.Context(), s.options(), -1)
		want := []string{"gap 1 5 slow", "stream-error 5 {}", "gap 5 mind it", "message 6 x"}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	})
}

func TestClientGoesOnAfterABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: 200, body: event1 + event2, stay: -1}}}
		o := s.options()
		o.LastEventID = "0"
		c := sse.NewClient("http://test/stream", o)
		for range 2 {
			for range c.Messages(t.Context()) {
				if c.LastEventID() != "1" {
					t.Errorf("position %q within the loop's body", c.LastEventID())
				}
				for _, err := range c.Messages(t.Context()) {
					if !errors.Is(err, sse.ErrBusy) {
						t.Errorf("two loops at once: %v", err)
					}
				}
				break
			}
		}
		if ids := s.ids(); !slices.Equal(ids, []string{"0", "1"}) {
			t.Errorf("asked behind %q", ids)
		}
	})
}
