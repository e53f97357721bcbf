package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/stream"
)

// A client on a weak network reads slowly, and never pauses. It is not cut, since
// it makes progress all the time, and it is told what it has lost. One that takes
// nothing is cut.
func TestSlowButSteadyReader(t *testing.T) {
	for _, tc := range []struct {
		transport stream.Transport
		reads     bool
	}{{stream.TransportLean, true}, {stream.TransportPlain, true}, {stream.TransportLean, false}, {stream.TransportPlain, false}} {
		t.Run(fmt.Sprintf("%s/reads=%t", tc.transport, tc.reads), func(t *testing.T) {
			t.Parallel()
			const timeout = 2 * time.Second // for a machine that is busy with other things
			s := newSite(t, stream.HubOptions{Topic: stream.TopicOptions{History: 8}},
				&stream.Handler{Transport: tc.transport, WriteTimeout: timeout}, stream.NewListener, false, 1<<20)
			conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
			ctx, stop := context.WithCancel(t.Context())
			published := make(chan struct{})
			go func() { // 3 MB/s
				defer close(published)
				data := []byte(strings.Repeat("x", 60_000))
				for ctx.Err() == nil {
					_, _ = s.hub.Publish(ctx, "a", stream.Event{Data: data})
					select {
					case <-time.After(20 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}()
			defer func() { stop(); <-published }()
			if !tc.reads {
				until(t, "the client that takes nothing to be cut", func() bool {
					return s.handler.Totals().Closed[stream.CloseSlow]+s.handler.Totals().Closed[closeVanished] == 1
				})
				return
			}
			var got bytes.Buffer
			for began := time.Now(); time.Since(began) < 5*timeout; time.Sleep(50 * time.Millisecond) { // the rate of the network
				if _, err := io.CopyN(&got, conn, 2_000); err != nil {
					t.Fatalf("cut after %v: %v, %v", time.Since(began), err, s.handler.Totals().Closed)
				}
			}
			c := s.handler.Conns()
			if len(c) != 1 {
				t.Fatalf("cut: %v", s.handler.Totals().Closed)
			}
			// What it has lost is told when it gets there.
			until(t, "the gap to be told", func() bool {
				if _, err := io.CopyN(io.Discard, conn, 100_000); err != nil {
					t.Fatal(err)
				}
				return c[0].Errors() > 0
			})
		})
	}
}

// On HTTP/2 a stream whose client stops reading is cut, and the other streams of
// the same connection go on.
func TestHTTP2StreamThatIsNotRead(t *testing.T) {
	s := newSite(t, stream.HubOptions{Topic: stream.TopicOptions{History: 100_000, Bytes: 1 << 30}},
		&stream.Handler{WriteTimeout: 2 * time.Second}, stream.NewListener, true, 1<<20)
	stopped, live := s.subscribe(t, ""), s.subscribe(t, "")
	payload := `"` + strings.Repeat("x", 200_000) + `"`
	var slow *stream.Conn
	for _, c := range s.handler.Conns() {
		if c.ID == stopped.hello["connection"] {
			slow = c
		}
	}
	published := int64(0)
	for ; slow.Lag() <= 10; published++ {
		live.wantIDs(t, s.publish(t, payload)...)
	}
	until(t, "the write to be seen to wait", func() bool { d, _ := slow.Stuck(); return d > time.Second })
	if d := slow.Blocked(); d < time.Second {
		t.Errorf("writes have waited for %v in all, and one under way for more than a second", d)
	}
	until(t, "the stream that is not read to be cut", func() bool { return s.handler.Totals().Closed[stream.CloseSlow] == 1 })
	if unsent, _ := slow.Unsent(); slow.Events()+unsent != published || slow.Left() != stream.CloseSlow {
		t.Errorf("%d events were sent and %d not sent, of %d; it is said to have ended as %s", slow.Events(), unsent, published, slow.Left())
	}
	live.wantIDs(t, s.publish(t, "1")...)
	if c := s.handler.Conns(); len(c) != 1 || c[0].Protocol != "2" || c[0].ID != live.hello["connection"] {
		t.Errorf("%d streams are left", len(c))
	}
	for {
		if _, err := stopped.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				t.Error("the stream that was cut has an orderly end")
			}
			return
		}
	}
}
