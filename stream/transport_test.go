package stream_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// Reasons for which there is no name outside the package.
const (
	closeReset    stream.CloseReason = "reset"
	closeVanished stream.CloseReason = "vanished"
	closeError    stream.CloseReason = "error"
	closeDrain    stream.CloseReason = "drain"
)

// Everything here must hold on every transport, over real sockets.

type site struct {
	*fixture
	url    string
	server *httptest.Server
}

func onEveryTransport(t *testing.T, test func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site)) {
	for _, c := range []struct {
		name      string
		transport stream.Transport
		listen    func(net.Listener) net.Listener
		h2        bool
	}{
		{"lean HTTP/1.1", stream.TransportLean, stream.NewListener, false},
		{"lean HTTP/1.1 of package net", stream.TransportLean, ofPackageNet, false},
		{"lean h2c", stream.TransportLean, stream.NewListener, true},
		{"plain HTTP/1.1", stream.TransportPlain, stream.NewListener, false},
		{"plain HTTP/1.1 of package net", stream.TransportPlain, ofPackageNet, false},
		{"plain h2c", stream.TransportPlain, ofPackageNet, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			test(t, func(hub stream.HubOptions, handler *stream.Handler) *site {
				handler.Transport = c.transport
				return newSite(t, hub, handler, c.listen, c.h2, before)
			})
		})
	}
}

func ofPackageNet(l net.Listener) net.Listener { return l }

func newSite(t *testing.T, hub stream.HubOptions, handler *stream.Handler, listen func(net.Listener) net.Listener, h2 bool, goroutines int) *site {
	t.Helper()
	s := &site{fixture: &fixture{hub: stream.NewHub(hub), handler: handler}}
	if err := s.hub.AddTopic("a"); err != nil {
		t.Fatal(err)
	}
	handler.Hub = s.hub
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Test", "kept")
		handler.ServeHTTP(w, r)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ConnContext = stream.ConnContext
	server.Listener = listen(server.Listener)
	server.Start()
	s.url, s.server = server.URL, server
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	s.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := handler.Drain(ctx, 0); err != nil {
			t.Errorf("%d connections are left", handler.Active())
		}
		server.Close()
		s.hub.Close()
		until(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	})
	return s
}

func (s *site) subscribe(t *testing.T, query string, header ...string) *subscription {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	sub := &subscription{Decoder: sse.NewDecoder(resp.Body), status: resp.StatusCode, header: resp.Header, body: resp.Body, cancel: cancel}
	t.Cleanup(sub.close)
	if sub.status == http.StatusOK {
		if err := json.Unmarshal(sub.want(t, "connected").Data, &sub.hello); err != nil {
			t.Fatal(err)
		}
	}
	return sub
}

// until waits for a condition, and fails after a long time.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("waited in vain for %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond) // between two looks, not in place of one
	}
}

func TestTransportDelivers(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 50_000, Pace: 2 * time.Millisecond}}, &stream.Handler{})
		const readers, events = 40, 2000
		var work sync.WaitGroup
		want := make(chan []stream.ID)
		for range readers {
			sub := s.subscribe(t, "")
			if sub.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || sub.header.Get("X-Test") != "kept" {
				t.Errorf("header: %v", sub.header)
			}
			work.Go(func() {
				var got []string
				for range events {
					m, err := sub.Next()
					if err != nil {
						t.Errorf("after %d events: %v", len(got), err)
						break
					}
					got = append(got, m.ID)
				}
				for i, id := range <-want {
					if i >= len(got) || got[i] != id.String() {
						t.Errorf("event %d is not %v", i, id)
						return
					}
				}
			})
		}
		var ids []stream.ID
		for i := range events / 4 {
			ids = append(ids, s.publish(t, "1", "2", "3", fmt.Sprint(i))...)
		}
		for range readers {
			want <- ids
		}
		work.Wait()
		conns := s.handler.Conns()
		if len(conns) != readers {
			t.Fatalf("%d connections", len(conns))
		}
		for _, c := range conns {
			until(t, "the counters", func() bool { return c.Events() == events && c.Lag() == 0 })
			if c.Bytes() < events*30 {
				t.Errorf("%d bytes", c.Bytes())
			}
		}
	})
}

func TestTransportResumesWithoutSeam(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 50_000, Pace: time.Millisecond}}, &stream.Handler{})
		var publishing sync.WaitGroup
		var all []stream.ID
		first := s.publish(t, "0")[0]
		room := make(chan struct{}, 1000) // the publisher is so many events ahead at most
		publishing.Go(func() {
			for range room {
				all = append(all, s.publish(t, "1", "2")...)
			}
		})
		stop := sync.OnceFunc(func() { close(room); publishing.Wait() })
		defer stop()
		for range cap(room) {
			room <- struct{}{}
		}
		// One client that comes and goes all the time sees one unbroken run.
		var got []string
		last := first.String()
		for round := range 30 {
			sub := s.subscribe(t, "", "Last-Event-ID", last)
			for range 20 + round*5 {
				m := sub.want(t, "message")
				got = append(got, m.ID)
				last = m.ID
				room <- struct{}{}
			}
			sub.close()
		}
		stop()
		for i, id := range got {
			if id != all[i].String() {
				t.Fatalf("event %d is %s, want %s", i, id, all[i])
			}
		}
		until(t, "the connections to end", func() bool { return s.handler.Active() == 0 })
		// A client that leaves without having read all resets its connection.
		closed := s.handler.Totals().Closed
		if n := closed[stream.CloseClient] + closed[closeReset]; n != 30 {
			t.Errorf("closed: %v", s.handler.Totals().Closed)
		}
	})
}

func TestTransportHeartbeat(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{Heartbeat: 50 * time.Millisecond, WriteTimeout: 20 * time.Millisecond})
		sub := s.subscribe(t, "")
		start := time.Now()
		for range 4 {
			sub.want(t, "ping")
		}
		if d := time.Since(start); d < 150*time.Millisecond {
			t.Errorf("4 pings within %v", d)
		}
		ids := s.publish(t, "1")
		for {
			m, err := sub.Next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Event == "message" && m.ID == ids[0].String() {
				break
			}
		}
	})
}

func TestTransportTells(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		source := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			for range 3 {
				p.Fail(errors.New("broken"))
			}
			if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
				return err
			}
			return nil
		})
		sub := s.subscribe(t, "")
		if err := s.hub.AddSource("a", source); err != nil {
			t.Fatal(err)
		}
		sub.want(t, "stream-error")
		sub.want(t, "message")
		sub.want(t, "close")
		if _, err := sub.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after close: %v", err)
		}
		until(t, "the connection to end", func() bool { return s.handler.Totals().Closed[stream.CloseEnded] == 1 })
	})
}

func TestTransportDrains(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		var subs []*subscription
		for range 20 {
			subs = append(subs, s.subscribe(t, ""))
		}
		s.publish(t, "1")
		for _, sub := range subs {
			sub.want(t, "message")
		}
		if err := s.handler.Drain(t.Context(), 100*time.Millisecond); err != nil {
			t.Error(err)
		}
		for _, sub := range subs {
			sub.want(t, "ping")
			if _, err := sub.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("a stream ended with %v", err)
			}
			if sub.Retry() == 0 {
				t.Error("no retry was told")
			}
		}
		if n := s.handler.Totals().Closed[closeDrain]; n != 20 {
			t.Errorf("closed: %v", s.handler.Totals().Closed)
		}
	})
}

// dial opens a plain HTTP/1.1 stream whose reading the test controls.
func (s *site) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tcp := c.(*net.TCPConn)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: weir\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// One client stops reading. It is cut, it costs the others nothing, and one
// that only pauses gets every event.
func TestTransportSlowClients(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 100_000, Bytes: 1 << 30}}, &stream.Handler{WriteTimeout: 3 * time.Second})
		stopped, pausing := s.dial(t), s.dial(t)
		live := s.subscribe(t, "")
		until(t, "three connections", func() bool { return s.handler.Active() == 3 })
		payload := `"` + strings.Repeat("x", 200_000) + `"`
		var ids []stream.ID
		lagging := func() (n int) {
			for _, c := range s.handler.Conns() {
				if c.Lag() > 10 { // stuck, and not just about to be served
					n++
				}
			}
			return n
		}
		for lagging() < 2 {
			id := s.publish(t, payload)
			ids = append(ids, id...)
			live.wantIDs(t, id...)
		}
		resp, err := http.ReadResponse(bufio.NewReader(pausing), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { pausing.Close(); resp.Body.Close() }() // in this order: Close reads to the end
		late := sse.NewDecoder(resp.Body)
		if m, err := late.Next(); err != nil || m.Event != "connected" {
			t.Fatal(m.Event, err)
		}
		for i, id := range ids {
			if m, err := late.Next(); err != nil || m.ID != id.String() || len(m.Data) < 200_000 {
				t.Fatalf("event %d: got %s with %d bytes, %v; want %s", i, m.ID, len(m.Data), err, id)
			}
		}
		until(t, "the stopped client to be cut", func() bool { return s.handler.Totals().Closed[stream.CloseSlow] == 1 })
		more := s.publish(t, "1", "2")
		live.wantIDs(t, more...)
		for _, id := range more {
			if m, err := late.Next(); err != nil || m.ID != id.String() {
				t.Fatalf("got %s, %v; want %s", m.ID, err, id)
			}
		}
		stopped.Close()
	})
}

// Clients that leave in every way leave nothing behind.
func TestTransportDepartures(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		for i := range 60 {
			c := s.dial(t)
			switch i % 4 {
			case 0: // at once
			case 1: // after the headers
				if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			case 2: // by a reset
				until(t, "the connection", func() bool { return s.handler.Active() > 0 })
				_ = c.SetLinger(0)
			case 3: // half
				_ = c.CloseWrite()
				until(t, "the half-closed connection to end", func() bool { return s.handler.Active() == 0 })
			}
			c.Close()
		}
		until(t, "the connections to end", func() bool { return s.handler.Active() == 0 })
		closed := s.handler.Totals().Closed
		if closed[closeError]+closed[stream.CloseSlow]+closed[stream.ClosePanic] > 0 {
			t.Errorf("closed: %v", closed)
		}
	})
}

func TestTransportPanicInAHook(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		var mu sync.Mutex
		var reasons []stream.CloseReason
		first := true
		s := open(stream.HubOptions{Hooks: stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			mu.Lock()
			guilty := first
			first = false
			mu.Unlock()
			return stream.ConnHooks{
				Flush: func(*stream.Flush) {
					if guilty {
						panic(http.ErrAbortHandler)
					}
				},
				Disconnect: func(reason stream.CloseReason, _ error) {
					mu.Lock()
					defer mu.Unlock()
					reasons = append(reasons, reason)
				},
			}
		}}}, &stream.Handler{})
		guilty := s.subscribe(t, "")
		other := s.subscribe(t, "")
		s.publish(t, "1")
		guilty.want(t, "message")
		other.want(t, "message")
		until(t, "the connection to end", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(reasons, []stream.CloseReason{stream.ClosePanic})
		})
		s.publish(t, "2")
		other.want(t, "message")
	})
}

// A compressed stream is one valid gzip member, whatever is written to it, and
// what is flushed can be read at once.
func TestTransportCompresses(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{Compress: true, Heartbeat: 50 * time.Millisecond})
		sub := func(last string) (*sse.Decoder, *http.Response) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", "gzip")
			req.Header.Set("Last-Event-ID", last)
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("header: %v", resp.Header)
			}
			r, err := gzip.NewReader(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return sse.NewDecoder(r), resp
		}
		read := func(d *sse.Decoder, event string) sse.Message {
			for {
				m, err := d.Next()
				if err != nil {
					t.Fatalf("waiting for %s: %v", event, err)
				}
				if m.Event == event {
					return m
				}
			}
		}
		long := `"` + strings.Repeat("long ", 40_000) + `"`
		noise := make([]byte, 100_000)
		for i := range noise {
			noise[i] = "0123456789abcdef"[rand.IntN(16)]
		}
		ids := s.publish(t, "1", long, `"`+string(noise)+`"`)
		plain := s.subscribe(t, "", "Last-Event-ID", "0", "Accept-Encoding", "gzip;q=0")
		if plain.header.Get("Content-Encoding") != "" {
			t.Errorf("header: %v", plain.header)
		}
		var streams []*sse.Decoder
		for range 3 {
			d, resp := sub("0")
			defer resp.Body.Close()
			streams = append(streams, d)
		}
		for _, d := range streams {
			read(d, "connected")
			for _, id := range ids {
				if m := read(d, "message"); m.ID != id.String() {
					t.Fatalf("got %s, want %s", m.ID, id)
				}
			}
			read(d, "ping")
		}
		for round := range 20 {
			id := s.publish(t, fmt.Sprintf(`{"round":%d,"text":%q}`, round, strings.Repeat("text ", 20)))[0]
			for _, d := range streams {
				if m := read(d, "message"); m.ID != id.String() || !strings.Contains(string(m.Data), fmt.Sprintf(`"round":%d,`, round)) {
					t.Fatalf("got %s %s", m.ID, m.Data)
				}
			}
		}
		for _, c := range s.handler.Conns() {
			if c.Bytes() > 300_000 {
				continue // the plain one
			}
			if c.Bytes() < 50_000 || c.Bytes() > 250_000 {
				t.Errorf("%d bytes for 300 kB of which 200 kB are repetitions", c.Bytes())
			}
		}
		if err := s.hub.EndTopic("a", "over"); err != nil {
			t.Fatal(err)
		}
		for _, d := range streams {
			read(d, "close")
			if _, err := d.Next(); !errors.Is(err, io.EOF) { // the checksum is right
				t.Errorf("at the end: %v", err)
			}
		}
	})
}
