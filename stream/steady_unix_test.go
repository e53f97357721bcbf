//go:build unix

package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream"
)

// dialNarrow connects as over a network: in small segments, into a small window. On the
// loopback interface a segment has up to 64 kB, and a receiver tells that it has room
// again when that is read: to a slow one there would be progress every 1.6 s, not all
// the time.
func dialNarrow(addr string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var small error
		err := c.Control(func(fd uintptr) {
			small = errors.Join(
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2<<10),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536))
		})
		return errors.Join(err, small)
	}}
	return d.Dial("tcp", addr)
}

// A client on a weak network reads slowly, and never pauses. It is not cut, since
// it makes progress all the time, though it takes longer than the write timeout for a
// batch; and it is told what it has lost. One that takes nothing is cut.
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
			conn, err := dialNarrow(s.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
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
				if _, err := io.CopyN(&got, conn, 700); err != nil {
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
