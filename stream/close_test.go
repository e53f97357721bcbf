package stream_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/stream"
)

// A hook may close its own stream, whoever calls it, and the others go on.
func TestHooksMayClose(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Hooks: stream.Hooks{Connect: func(r *http.Request, c *stream.Conn) stream.ConnHooks {
			if r.URL.Query().Get("leaves") == "" {
				return stream.ConnHooks{}
			}
			return stream.ConnHooks{Flush: func(f *stream.Flush) {
				if string(f.Entries[0].Event.Data) == "2" {
					c.Close(stream.CloseRevoked)
				}
			}}
		}}}, &stream.Handler{})
		read := func(query string) func() string {
			resp, err := s.client.Get(s.url + "?topic=a" + query)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = resp.Body.Close() })
			r := bufio.NewReader(resp.Body)
			return func() string { // the next line of data of an event that is no control event
				for control := false; ; {
					line, err := r.ReadString('\n')
					switch {
					case err != nil:
						return err.Error()
					case strings.HasPrefix(line, "event:"):
						control = true
					case line == "\n":
						control = false
					case strings.HasPrefix(line, "data: ") && !control:
						return strings.TrimSpace(line[6:])
					}
				}
			}
		}
		leaves, stays := read("&leaves=1"), read("")
		for i, want := range []string{"1", "2", "3"} {
			if _, err := s.hub.Publish(t.Context(), "a", stream.Event{Data: []byte(want)}); err != nil {
				t.Fatal(err)
			}
			if got := stays(); got != want {
				t.Fatalf("who stays gets %q, want %q", got, want)
			}
			if got := leaves(); i < 2 && got != want {
				t.Fatalf("who leaves gets %q for event %s", got, want)
			}
		}
		for leaves() != io.EOF.Error() { // perhaps after event 3
		}
		until(t, "the stream to be counted", func() bool { return s.handler.Totals().Closed[stream.CloseRevoked] == 1 })
	})
}

// A stream that is to end does not go on because its client takes a little now
// and then of a large event.
func TestCloseIsNotHeldUp(t *testing.T) {
	for _, transport := range []stream.Transport{stream.TransportLean, stream.TransportPlain} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, stream.HubOptions{Topic: stream.TopicOptions{Bytes: 64 << 20}},
				&stream.Handler{Transport: transport, WriteTimeout: 2 * time.Second}, stream.NewListener, false, 1<<20)
			conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
			if _, err := io.CopyN(io.Discard, conn, 300); err != nil { // of the greeting
				t.Fatal(err)
			}
			if _, err := s.hub.Publish(t.Context(), "a", stream.Event{Data: []byte(strings.Repeat("x", 20<<20))}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, conn, 10_000); err != nil { // it is under way
				t.Fatal(err)
			}
			conns := s.handler.Conns()
			if len(conns) != 1 {
				t.Fatalf("%d connections", len(conns))
			}
			conns[0].Close(stream.CloseRevoked)
			until(t, "the stream to end", func() bool {
				_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				_, _ = io.CopyN(io.Discard, conn, 2_000)
				time.Sleep(20 * time.Millisecond) // the rate of the network: 100 kB/s, for 20 MB
				return s.handler.Totals().Closed[stream.CloseRevoked] == 1
			})
		})
	}
}

// A program's Done that panics leaves no connection behind.
func TestDoneMayPanic(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{Logger: slog.New(slog.DiscardHandler), Subscribe: func(r *http.Request) (*stream.Subscription, error) {
			return &stream.Subscription{Topic: "a", Done: func() { panic(http.ErrAbortHandler) }}, nil
		}})
		resp, err := s.client.Get(s.url)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		until(t, "the connection to be gone", func() bool { return s.handler.Active() == 0 })
	})
}

// Of a User-Agent a part is kept, with each stream.
func TestLongUserAgent(t *testing.T) {
	s := newSite(t, stream.HubOptions{}, &stream.Handler{}, stream.NewListener, false, 1<<20)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", strings.Repeat("x", 30_000))
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if c := s.handler.Conns(); len(c) != 1 || len(c[0].UserAgent) != 256 {
		t.Errorf("%d connections, with %d bytes of User-Agent", len(c), len(c[0].UserAgent))
	}
}
