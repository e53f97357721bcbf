package stream_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
)

// A client that takes nothing from its connection is cut off when it is said to be, also
// where net/http would go on waiting: over TLS, which it ends with a goodbye, and on HTTP/2,
// which ends a stream by a frame.
func TestClientOverTLSThatTakesNothingIsCut(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			const timeout = time.Second
			hub := stream.NewHub(stream.HubOptions{Topic: stream.TopicOptions{History: 100_000, Bytes: 1 << 30}})
			defer hub.Close()
			if err := hub.AddTopic("a"); err != nil {
				t.Fatal(err)
			}
			handler := &stream.Handler{Hub: hub, WriteTimeout: timeout}
			server := httptest.NewUnstartedServer(handler)
			server.Config.ConnContext = stream.ConnContext
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
			conn := &deaf{open: make(chan struct{})}
			transport := &http.Transport{
				ForceAttemptHTTP2: protocol == "h2",
				TLSClientConfig:   &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, NextProtos: []string{protocol}},
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					conn.Conn = c
					return conn, err
				},
			}
			resp, err := (&http.Client{Transport: transport}).Get(server.URL + "/?topic=a")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]int{"http/1.1": 1, "h2": 2}[protocol]; resp.ProtoMajor != want {
				t.Fatalf("it is %s", resp.Proto)
			}
			defer resp.Body.Close()
			hear := sync.OnceFunc(conn.hear)
			defer hear()
			conn.stop()
			until(t, "the stream", func() bool { return handler.Active() == 1 })
			c := handler.Conns()[0]
			data := []byte(fmt.Sprintf("%q", strings.Repeat("x", 50_000)))
			var longest time.Duration
			until(t, "the cut", func() bool {
				since, _ := c.Stuck()
				longest = max(longest, since)
				if since == 0 { // the client's side has taken all so far
					if _, err := hub.Publish(t.Context(), "a", stream.Event{Data: data}); err != nil {
						t.Fatal(err)
					}
				}
				return handler.Active() == 0
			})
			if longest > 4*timeout {
				t.Errorf("a write has waited for %v, with a write timeout of %v", longest, timeout)
			}
			if c.Left() != stream.CloseSlow {
				t.Errorf("it has ended as %s", c.Left())
			}
		})
	}
}

// A deaf connection is not read from while it is stopped.
type deaf struct {
	net.Conn
	open    chan struct{}
	mu      sync.Mutex
	stopped bool
}

func (d *deaf) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	_ = d.Conn.SetReadDeadline(time.Unix(1, 0)) // what reads now is to wait, too
}

func (d *deaf) hear() { close(d.open) }

func (d *deaf) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	d.mu.Lock()
	stopped := d.stopped
	d.mu.Unlock()
	if n == 0 && stopped {
		<-d.open
	}
	return n, err
}
