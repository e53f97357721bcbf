//go:build linux && !386 && !s390x

package stream_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/stream"
)

// A client that vanishes is found although every write to it succeeds; one that
// is merely quiet, or does not read for a while, keeps its stream.
func TestVanishedClientIsFound(t *testing.T) {
	const heartbeat, deadline = 500 * time.Millisecond, 2 * time.Second
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		type end struct {
			id     string
			reason stream.CloseReason
			err    error
			at     time.Time
		}
		ends := make(chan end, 3)
		s := open(stream.HubOptions{Hooks: stream.Hooks{Connect: func(_ *http.Request, c *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{Disconnect: func(reason stream.CloseReason, err error) { ends <- end{c.ID, reason, err, time.Now()} }}
		}}}, &stream.Handler{Heartbeat: heartbeat, WriteTimeout: deadline})
		var mu sync.Mutex
		var dialled []*net.TCPConn
		inner := s.client.Transport.(*http.Transport)
		inner.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				mu.Lock()
				dialled = append(dialled, c.(*net.TCPConn))
				mu.Unlock()
			}
			return c, err
		}
		connect := func() (*net.TCPConn, *bufio.Reader) {
			// On HTTP/2 streams share a connection; each client here has its own.
			transport := inner.Clone()
			t.Cleanup(transport.CloseIdleConnections)
			resp, err := (&http.Client{Transport: transport}).Get(s.url + "?topic=a")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = resp.Body.Close() })
			r := bufio.NewReader(resp.Body)
			if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "retry:") {
				t.Fatalf("the stream begins with %q, %v", line, err)
			}
			mu.Lock()
			defer mu.Unlock()
			return dialled[len(dialled)-1], r
		}
		_, quiet := connect()
		pings := make(chan struct{}, 1000)
		go func() {
			for {
				line, err := quiet.ReadString('\n')
				if err != nil {
					return
				}
				if line == "event: ping\n" {
					pings <- struct{}{}
				}
			}
		}()
		_, _ = connect() // does not read
		gone, _ := connect()
		dropEverything(t, gone)
		began := time.Now()
		select {
		case e := <-ends:
			if e.reason != closeVanished || e.err == nil {
				t.Errorf("the client that vanished was closed as %s, %v; want vanished and why", e.reason, e.err)
			}
			took := e.at.Sub(began)
			t.Logf("found after %v", took)
			if took > 4*(heartbeat+deadline) {
				t.Errorf("it took %v to find it, want about %v at most", took, heartbeat+deadline)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the client that vanished was not found")
		}
		for range 6 { // as long again
			select {
			case <-pings:
			case <-time.After(10 * time.Second):
				t.Fatal("no ping for the quiet one")
			}
		}
		if n := s.handler.Active(); n != 2 {
			t.Errorf("%d streams are open, want the two that are there", n)
		}
	})
}

// dropEverything makes a client's end deaf: what arrives is dropped before TCP
// sees it, so that nothing is acknowledged.
func dropEverything(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const retK = 0x06 // BPF_RET|BPF_K: so many bytes of the packet are kept
	_ = raw.Control(func(fd uintptr) {
		//lint:ignore SA1019 the alternative is not in the standard library
		err = syscall.AttachLsf(int(fd), []syscall.SockFilter{{Code: retK, K: 0}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ConnContext finds the TCP connection under TLS.
func TestConnContextSeesThroughTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	if stream.ConnContext(ctx, c) == ctx || stream.ConnContext(ctx, tls.Server(c, nil)) == ctx {
		t.Error("the connection was not found")
	}
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	if stream.ConnContext(ctx, one) != ctx {
		t.Error("a connection that is not TCP has no place here")
	}
}
