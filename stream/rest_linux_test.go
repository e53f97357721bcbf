//go:build !386 && !s390x

package stream_test

import (
	"bufio"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// TestReaderIsSentAway: net/http has no goroutine that reads from the connection
// of a stream, and all that it does holds nevertheless.
func TestReaderIsSentAway(t *testing.T) {
	before := runtime.NumGoroutine()
	handler := &stream.Handler{Transport: stream.TransportNetHTTP, Heartbeat: time.Hour}
	s := newSite(t, stream.HubOptions{}, handler, stream.NewListener, false, before)
	open := func() (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", s.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // then the test fails
		return c, bufio.NewReader(c)
	}
	ask := func(c net.Conn, r *bufio.Reader, topic, header string) *http.Response {
		t.Helper()
		if _, err := c.Write([]byte("GET /?topic=" + topic + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	none := func() bool {
		buf := make([]byte, 1<<20)
		return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "backgroundRead")
	}

	c, r := open()
	if resp := ask(c, r, "a", ""); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	until(t, "net/http's reader to go", none)
	if handler.Active() != 1 {
		t.Fatal("and the stream with it")
	}

	// The client goes: no write tells of it, for the heartbeat is an hour.
	_ = c.Close()
	until(t, "the stream of a client that went to end", func() bool { return handler.Active() == 0 })

	// The client resets the connection.
	c, r = open()
	ask(c, r, "a", "")
	until(t, "net/http's reader to go", none)
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	until(t, "the stream of a client that reset it to end", func() bool { return handler.Active() == 0 })

	// The server closes the connection.
	c, r = open()
	ask(c, r, "a", "")
	until(t, "net/http's reader to go", none)
	s.server.CloseClientConnections()
	until(t, "the stream on a connection that was closed to end", func() bool { return handler.Active() == 0 })

	// The stream ends, and the connection serves on. Another stream stays, so that
	// the poller has seen the connection before.
	if err := s.hub.AddTopic("b"); err != nil {
		t.Fatal(err)
	}
	other, otherReader := open()
	ask(other, otherReader, "b", "")
	c, r = open()
	resp := ask(c, r, "a", "")
	until(t, "net/http's reader to go", none)
	ids, err := s.hub.Publish(t.Context(), "a", stream.Event{Data: []byte(`1`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hub.EndTopic("a", "test"); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for d := sse.NewDecoder(resp.Body); ; {
		m, err := d.Next()
		if err != nil {
			break // the end of the response
		}
		seen = append(seen, m.Event)
	}
	if got := strings.Join(seen, " "); !strings.HasSuffix(got, "close") {
		t.Errorf("the stream was %q", got)
	}
	if resp := ask(c, r, "a", "Last-Event-ID: "+ids[0].String()+"\r\n"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("who has everything gets %s", resp.Status)
	}
	ask(c, r, "b", "")
	until(t, "net/http's reader to go again", none)
	if n := handler.Active(); n != 2 {
		t.Errorf("%d streams are open, want 2", n)
	}
	_ = c.Close()
	until(t, "the second stream of a connection to end", func() bool { return handler.Active() == 1 })
}
