package sse_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream/sse"
)

// quick options come back at once.
func quick() *sse.Options { return &sse.Options{Retry: time.Millisecond} }

// serve runs a server whose handler is told which request it is. It ends the
// stream by 204 behind the last.
func serve(t *testing.T, handlers ...http.HandlerFunc) *httptest.Server {
	t.Helper()
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n > len(handlers) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		handlers[n-1](w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestClientOnTheWire(t *testing.T) {
	var first, second *http.Request
	srv := serve(t,
		func(w http.ResponseWriter, r *http.Request) {
			first = r
			_, _ = io.WriteString(w, event1+"id: 2\ndata: half a mess")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // cuts the connection
		},
		func(w http.ResponseWriter, r *http.Request) {
			second = r
			_, _ = io.WriteString(w, event2)
		})
	o := quick()
	o.Header = http.Header{"authorization": {"Bearer x"}, "Accept": {"text/event-stream, application/json"}}
	var opened int
	o.Opened = func(*http.Response) { opened++ }
	got, err := collect(sse.NewClient(srv.URL, o), t.Context(), -1)
	if want := []string{"message 1 a", "message 2 b"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	if opened != 2 {
		t.Errorf("opened %d times", opened)
	}
	for _, r := range []*http.Request{first, second} {
		if r.Method != "GET" || r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("Accept") != "text/event-stream, application/json" || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("it asked by %s %v", r.Method, r.Header)
		}
	}
	if id := second.Header.Get("Last-Event-Id"); id != "1" {
		t.Errorf("it came back behind %q", id)
	}
}

func TestClientFollowsRedirects(t *testing.T) {
	for _, code := range []int{301, 302, 307, 308} {
		stream := serve(t, write(event1), func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "id: 2\ndata: behind "+r.Header.Get("Last-Event-ID")+"\n\n")
		})
		front := httptest.NewServer(http.RedirectHandler(stream.URL, code))
		got, err := collect(sse.NewClient(front.URL, quick()), t.Context(), -1)
		front.Close()
		if want := []string{"message 1 a", "message 2 behind 1"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%d: got %q, %v; want %q", code, got, err, want)
		}
	}
}

// A gzipped event is there when the server has flushed it, and not only when the
// stream has ended.
func TestClientReadsGzip(t *testing.T) {
	for name, byHand := range map[string]bool{"by the transport": false, "by a header of the program's own": true} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan struct{})
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "gzip" {
					t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
				}
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				for _, text := range []string{event1, event2} {
					_, _ = io.WriteString(z, text)
					_ = z.Flush()
					_ = http.NewResponseController(w).Flush()
					<-seen
				}
			})
			o := quick()
			if byHand {
				o.Header = http.Header{"Accept-Encoding": {"gzip"}}
			}
			for m, err := range sse.Read(t.Context(), srv.URL, o) {
				if err != nil || m.SetsID == false {
					t.Errorf("got %q, %v", m.Data, err)
				}
				seen <- struct{}{}
			}
		})
	}
}

func TestClientPreparesEachRequest(t *testing.T) {
	var asked []string
	note := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.Header.Get("Authorization")+" "+string(body))
	}
	srv := serve(t, note, note)
	o := quick()
	tokens := 0
	o.Prepare = func(r *http.Request) error {
		tokens++
		r.Header.Set("Authorization", fmt.Sprint("token ", tokens))
		r.Method, r.Body = "POST", io.NopCloser(strings.NewReader("question"))
		return nil
	}
	if _, err := collect(sse.NewClient(srv.URL, o), t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	if want := []string{"POST token 1 question", "POST token 2 question"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestClientLeavesItsConnectionWithTheLoop(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		gone := make(chan struct{})
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, event1)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		}))
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		for range sse.Read(t.Context(), srv.URL, &sse.Options{HTTPClient: srv.Client()}) {
			break
		}
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Errorf("HTTP/2 %v: the stream is still open", http2)
		}
		srv.Close()
	}
}

// Whatever a server sends, and wherever it is cut, the client yields each
// message once when it comes back behind the last.
func FuzzClientResumes(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 7})
	f.Fuzz(func(t *testing.T, cuts []byte) {
		var wire []byte
		ends := []int{0} // of each message
		for i := range 10 {
			wire = sse.Message{ID: fmt.Sprint(i + 1), Data: bytes.Repeat([]byte("x"), i)}.AppendTo(wire)
			ends = append(ends, len(wire))
		}
		requests := 0
		rt := roundTrip(func(req *http.Request) (*http.Response, error) {
			var behind int
			_, _ = fmt.Sscan(req.Header.Get("Last-Event-ID"), &behind)
			rest := wire[ends[behind]:]
			resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: req}
			if len(rest) == 0 {
				resp.StatusCode = 204
			}
			if requests < len(cuts) && requests < 8 {
				rest = rest[:min(len(rest), int(cuts[requests]))]
			}
			requests++
			resp.Body = io.NopCloser(bytes.NewReader(rest))
			return resp, nil
		})
		want := 0
		o := &sse.Options{HTTPClient: &http.Client{Transport: rt}, Retry: time.Nanosecond, MaxRetry: time.Nanosecond}
		for m, err := range sse.Read(t.Context(), "http://test/", o) {
			if want++; err != nil || m.ID != fmt.Sprint(want) || len(m.Data) != want-1 {
				t.Fatalf("got %q, %d bytes, %v; want message %d", m.ID, len(m.Data), err, want)
			}
		}
		if want != 10 {
			t.Errorf("%d messages of 10", want)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
