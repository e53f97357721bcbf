package web_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
)

// A body that does not come, or comes by the byte, holds nobody for longer
// than its deadline: on any route, whether it wants a body or not.
func TestBodiesThatDoNotCome(t *testing.T) {
	for _, tc := range []struct {
		request string
		answer  string // "" for none
	}{
		{"POST / HTTP/1.1\r\nContent-Length: 10", " 405 "},
		{"GET / HTTP/1.1\r\nContent-Length: 10", " 200 "},
		{"GET /livez HTTP/1.1\r\nTransfer-Encoding: chunked", " 200 "},
		{"POST /nothing HTTP/1.1\r\nTransfer-Encoding: chunked", " 404 "},
		{"POST /publish?topic=one HTTP/1.1\r\nContent-Length: 100000", " 401 "},
		{"POST /publish?topic=one HTTP/1.1\r\nAuthorization: Bearer " + secret + "\r\nContent-Type: text/plain\r\nContent-Length: 10", " 400 "},
		{"POST /publish?topic=one HTTP/1.1\r\nAuthorization: Bearer " + secret + "\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked", " 400 "},
		{"POST /ticket HTTP/1.1\r\nContent-Length: 10", " 404 "},
		{"GET /sse-stream HTTP/1.1\r\nContent-Length: 10", " 400 "},
		{"PUT /sse-stream HTTP/1.1\r\nContent-Length: 10", " 405 "},
	} {
		for _, trickle := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := newPublishSite(t, nil)
				pipes := streamtest.NewListener()
				server := &http.Server{Handler: s.public, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
				go server.Serve(pipes)
				defer server.Close()
				conn := dial(t, pipes)
				defer conn.Close()
				began, answered := time.Now(), make(chan struct{})
				go func() {
					if _, err := io.WriteString(conn, tc.request+"\r\nHost: x\r\n\r\n"); err != nil {
						return
					}
					for trickle {
						select {
						case <-time.After(7 * time.Second):
						case <-answered:
							return
						}
						part := "x"
						if strings.Contains(tc.request, "chunked") {
							part = "1\r\nx\r\n"
						}
						if _, err := io.WriteString(conn, part); err != nil {
							return
						}
					}
				}()
				answer, _ := io.ReadAll(conn) // until the server closes
				close(answered)
				status, _, _ := strings.Cut(string(answer), "\r\n")
				if took := time.Since(began); took > time.Minute {
					t.Errorf("%q held the connection for %v", tc.request, took)
				}
				if !strings.Contains(status, tc.answer) {
					t.Errorf("%q is answered %q", tc.request, status)
				}
				if s.entries("one") != 0 {
					t.Errorf("%q: something got in", tc.request)
				}
				if total, _ := s.server.Slots(); total != 0 {
					t.Errorf("%q: %d slots are taken", tc.request, total)
				}
				s.hub.Close()
			})
		}
	}
}

// A GET with a body gets its stream, which outlives the deadline of the body.
func TestStreamWithABody(t *testing.T) {
	for _, body := range []string{"Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil)
			pipes := streamtest.NewListener()
			server := &http.Server{Handler: s.public}
			go server.Serve(pipes)
			defer server.Close()
			conn := dial(t, pipes)
			go io.WriteString(conn, "GET /sse-stream HTTP/1.1\r\nHost: x\r\n"+body)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			began := time.Now()
			stop := time.AfterFunc(10*time.Minute, func() { conn.Close() })
			defer stop.Stop()
			_, _ = io.Copy(io.Discard, resp.Body)
			if took := time.Since(began); took != 10*time.Minute {
				t.Errorf("the stream ended after %v", took)
			}
			synctest.Wait()
			if n := s.handler.Active(); n != 0 {
				t.Errorf("%d are active", n)
			}
			s.hub.Close()
		})
	}
}

// A body without end is read no further than the limit, and one that says it
// is too large is not read at all.
func TestBodiesWithoutEnd(t *testing.T) {
	s := newPublishSite(t, nil)
	addr := s.listen().Listener.Addr().String()
	for _, framing := range []string{"Transfer-Encoding: chunked", "Content-Length: 1000000000000"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /publish?topic=one HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: text/plain\r\n%s\r\n\r\n", secret, framing)
		sent := make(chan int)
		go func() {
			chunk := append(append([]byte("10000\r\n"), bytes.Repeat([]byte("x"), 1<<16)...), "\r\n"...)
			for n := 0; ; n += len(chunk) {
				if _, err := conn.Write(chunk); err != nil {
					sent <- n
					return
				}
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", framing, err)
		}
		if resp.StatusCode != 413 || !resp.Close {
			t.Errorf("%s: status %d, close %v", framing, resp.StatusCode, resp.Close)
		}
		resp.Body.Close()
		if n := <-sent; n > 32<<20 { // socket buffers included
			t.Errorf("%s: %d bytes were taken", framing, n)
		}
	}
	if s.entries("one") != 0 {
		t.Error("something got in")
	}
}

// A client that asks first is told before it sends.
func TestExpectContinue(t *testing.T) {
	s := newPublishSite(t, nil)
	conn, err := net.Dial("tcp", s.listen().Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /publish?topic=one HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: text/plain\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n", secret)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 413 {
		t.Errorf("%v %v", resp, err)
	}
}

// Whatever a client says that it had last, it gets a stream, and the truth
// about what it misses.
func TestLastEventID(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	event := func(topic string) stream.ID {
		ids, err := s.hub.Publish(t.Context(), topic, stream.Event{Data: []byte(`"x"`)})
		if err != nil {
			t.Fatal(err)
		}
		return ids[0]
	}
	event("one")
	second := event("one")
	other := event("two")
	future := stream.ID{Milli: uint64(time.Now().Add(365 * 24 * time.Hour).UnixMilli())}
	for _, tc := range []struct {
		name, id  string
		malformed bool
		gap       string // the reason, or none
	}{
		{"garbage", "garbage", true, ""},
		{"markup", "<script>", true, ""},
		{"negative", "-1-0", true, ""},
		{"a number too large", "99999999999999999999999-0", true, ""},
		{"an ID that is too long", strings.Repeat("9", 20_000), true, ""},
		{"two IDs", second.String() + "," + second.String(), true, ""},
		{"far in the future", "9223372036854775807-18446744073709551615", false, "unknown"},
		{"from the future", future.String(), false, "unknown"},
		{"from before the log", "1-0", false, "restart"},
		{"the newest", second.String(), false, ""},
		{"the newest of another topic", other.String(), false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, header := range []bool{true, false} {
				var sub *subscription
				if header {
					sub = subscribe(t, server.URL+"/sse-stream?format=json", "Last-Event-ID", tc.id)
				} else {
					sub = subscribe(t, server.URL+"/sse-stream?format=json&last_event_id="+strings.NewReplacer("<", "%3C", ">", "%3E").Replace(tc.id))
				}
				if got := sub.hello.LastEventID == "malformed"; got != tc.malformed {
					t.Errorf("hello %+v", sub.hello)
				}
				if sub.hello.Resumed != (!tc.malformed && tc.gap == "") {
					t.Errorf("hello %+v", sub.hello)
				}
				if tc.gap != "" {
					m, err := sub.Next()
					if err != nil || m.Event != "gap" || !strings.Contains(string(m.Data), `"reason":"`+tc.gap+`"`) {
						t.Errorf("%q %s, %v; want a gap: %s", m.Event, m.Data, err, tc.gap)
					}
				}
				// And it goes on: the events after it come, the newest at the end.
				newest := event("one")
				for {
					m, err := sub.Next()
					if err != nil {
						t.Fatal(err)
					}
					if m.ID == newest.String() {
						break
					}
				}
				sub.close()
			}
		})
	}
	until(t, "the streams to be over", func() bool { return s.handler.Active() == 0 })
}

// The header wins over the query, as a browser that reconnects sends both.
func TestLastEventIDHeaderWins(t *testing.T) {
	s := newSite(t, nil)
	ids, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}, stream.Event{Data: []byte("2")}, stream.Event{Data: []byte("3")})
	if err != nil {
		t.Fatal(err)
	}
	sub := subscribe(t, s.listen().URL+"/sse-stream?format=json&last_event_id="+ids[0].String(), "Last-Event-ID", ids[1].String())
	if m, err := sub.Next(); err != nil || m.ID != ids[2].String() {
		t.Errorf("%q, %v; want %v", m.ID, err, ids[2])
	}
}
