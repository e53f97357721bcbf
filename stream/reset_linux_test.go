package stream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/stream"
)

// TestKilledIsNotGone: a client that is killed with something unread resets its
// connection, one that leaves closes it. The reason tells them apart.
func TestKilledIsNotGone(t *testing.T) {
	for _, transport := range []stream.Transport{stream.TransportPlain, stream.TransportLean} {
		for linger, want := range map[int]stream.CloseReason{0: "reset", -1: stream.CloseClient} {
			t.Run(string(transport)+" "+string(want), func(t *testing.T) {
				hub := stream.NewHub(stream.HubOptions{})
				defer hub.Close()
				if err := hub.AddTopic("t"); err != nil {
					t.Fatal(err)
				}
				handler := &stream.Handler{Hub: hub, Transport: transport}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				server := &http.Server{Handler: handler, ConnContext: stream.ConnContext}
				go func() { _ = server.Serve(stream.NewListener(l)) }()
				defer server.Close()
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				for r, line := bufio.NewReader(c), ""; !strings.HasPrefix(line, "data: "); {
					if line, err = r.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
				_ = c.(*net.TCPConn).SetLinger(linger)
				_ = c.Close()
				deadline := time.Now().Add(10 * time.Second)
				for handler.Active() > 0 && time.Now().Before(deadline) {
					time.Sleep(time.Millisecond) // until the server has seen it
				}
				if closed := handler.Totals().Closed; closed[want] != 1 {
					t.Errorf("the stream ended as %v, want %s", closed, want)
				}
			})
		}
	}
}
