package web_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"weir/stream"
	"weir/web"
)

// serve serves over real sockets, which are bounded.
func (s *site) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: s.public, ConnContext: stream.ConnContext, Protocols: new(http.Protocols),
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	s.server.BoundSockets(server)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(stream.NewListener(l)) })
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return l.Addr().String()
}

func dialTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// fetch asks over a socket of its own.
func fetch(addr, path string) (status int, header http.Header, body string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), err
}

// A client that lets its answers wait has few of them under way, on one HTTP/2
// connection too, and loses them after a while.
func TestAnswersThatAreNotRead(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a deadline")
	}
	s := newSite(t, func(o *web.Options) { o.Limits.Requests, o.Limits.RequestsPerClient = 20, 8 })
	for i := range 300 { // a health worth not having a thousand times
		_, leave := s.hold(fmt.Sprintf("192.0.2.1:%d", i+1))
		defer leave()
	}
	addr := s.serve(t)
	conn := dialTCP(t, addr)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encode := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/sse-health"}} {
		_ = encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	const asked = 100
	for i := range asked {
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // the rest finds the fields in the table
			block.Reset()
			for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/sse-health"}} {
				_ = encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
			}
		}
	}
	var granted, refused, cut int
	began := time.Now()
	decoder := hpack.NewDecoder(4096, nil)
	_ = conn.SetReadDeadline(time.Now().Add(40 * time.Second))
	for granted+refused < asked || cut < asked {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %d granted, %d refused, %d cut: %v", granted, refused, cut, err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			fields, err := decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				t.Fatal(err)
			}
			switch fields[0].Value {
			case "200":
				granted++
			case "429", "503":
				refused++
			default:
				t.Errorf("status %s", fields[0].Value)
			}
		case *http2.RSTStreamFrame:
			cut++
		}
	}
	if granted > 8 {
		t.Errorf("%d answers were under way at once", granted)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the last answer waited %v", took)
	}
	if status, _, _, err := fetch(addr, "/sse-health"); err != nil || status != 200 {
		t.Errorf("then: %d %v", status, err)
	}
}

// Sockets that ask and never read take up what they may, and no more: probes
// are answered all the time, others are told why not, and in the end there is
// room again.
func TestSocketsThatAreNotRead(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a deadline")
	}
	large := strings.Repeat("x", 8<<20)
	before := web.Dist()
	web.SetDist(overlay{before, fstest.MapFS{"test.txt": {Data: []byte(large)}}})
	t.Cleanup(func() { web.SetDist(before) })
	s := newSite(t, func(o *web.Options) { o.Limits.Sockets, o.Limits.SocketsPerClient = 40, 30 })
	addr := s.serve(t)
	for range 260 {
		conn := dialTCP(t, addr)
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		_, _ = fmt.Fprintf(conn, "GET /metrics-of-nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /assets/test.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	until(t, "a probe to be answered", func() bool {
		status, _, _, err := fetch(addr, "/livez")
		return err == nil && status == 200
	})
	until(t, "a request to be refused in words", func() bool {
		status, header, body, err := fetch(addr, "/sse-stream")
		return err == nil && status == 429 && header.Get("Retry-After") != "" && strings.Contains(body, "connections open")
	})
	if total, _, spare := s.server.Sockets(); total > 40 || spare > 5 {
		t.Errorf("%d sockets and %d spare ones are open", total, spare)
	}
	until(t, "the sockets to be cut", func() bool {
		total, _, spare := s.server.Sockets()
		return total == 0 && spare == 0
	})
	if status, _, _, err := fetch(addr, "/sse-health"); err != nil || status != 200 {
		t.Errorf("then: %d %v", status, err)
	}
}

// A stream keeps the slot of its socket, on each transport, and gives it back.
func TestStreamsCountAsSockets(t *testing.T) {
	for _, transport := range []stream.Transport{stream.TransportLean, stream.TransportPlain} {
		s := newSite(t, func(o *web.Options) {
			o.Stream.Transport = transport
			o.Limits.Sockets, o.Limits.SocketsPerClient = 6, 4
		})
		addr := s.serve(t)
		var open []net.Conn
		for range 4 {
			conn := dialTCP(t, addr)
			_, _ = fmt.Fprintf(conn, "GET /sse-stream HTTP/1.1\r\nHost: x\r\n\r\n")
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
				t.Fatalf("%q %v", line, err)
			}
			open = append(open, conn)
		}
		if total, clients, _ := s.server.Sockets(); total != 4 || clients != 1 {
			t.Errorf("%s: %d sockets of %d clients", transport, total, clients)
		}
		if status, _, _, err := fetch(addr, "/sse-stream"); err != nil || status != 429 {
			t.Errorf("%s: a fifth socket: %d %v", transport, status, err)
		}
		if status, _, _, err := fetch(addr, "/livez"); err != nil || status != 200 {
			t.Errorf("%s: a probe: %d %v", transport, status, err)
		}
		for _, conn := range open {
			conn.Close()
		}
		until(t, "the sockets to be given back", func() bool {
			total, clients, spare := s.server.Sockets()
			return total == 0 && clients == 0 && spare == 0
		})
		runtime.KeepAlive(open)
	}
}

// However many streams are open, the answer of /sse-health is bounded, and
// pages lead to all of them.
func TestHealthIsPaged(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Stream.Transport = stream.TransportPlain })
	const streams = 1203
	for i := range streams {
		_, leave := s.hold(fmt.Sprintf("192.0.2.%d:%d", 1+i/250, i+1))
		defer leave()
	}
	type page struct {
		healthAnswer
		More  int `json:"more_connections"`
		After string
	}
	seen := map[string]bool{}
	first := decode[page](t, s.do("GET", "/sse-health", ""), 200)
	if len(first.ConnectionDetails) != 1000 || first.More != 203 || first.ActiveConnections != streams || first.After == "" {
		t.Errorf("%d listed, %d more, after %q", len(first.ConnectionDetails), first.More, first.After)
	}
	second := decode[page](t, s.do("GET", "/sse-health?after="+first.After, ""), 200)
	if len(second.ConnectionDetails) != 203 || second.More != 0 || second.After != "" {
		t.Errorf("%d listed, %d more, after %q", len(second.ConnectionDetails), second.More, second.After)
	}
	for _, p := range []page{first, second} {
		for id := range p.ConnectionDetails {
			seen[id] = true
		}
	}
	if len(seen) != streams {
		t.Errorf("%d of %d connections were listed", len(seen), streams)
	}
	if one := decode[page](t, s.do("GET", "/sse-health?topic=two", ""), 200); len(one.Topics) != 1 || len(one.ConnectionDetails) != 0 || one.Topics["two"]["streams"] != 0.0 {
		t.Errorf("%+v", one)
	}
	if one := decode[page](t, s.do("GET", "/sse-health?topic=one", ""), 200); len(one.Topics) != 1 || one.Topics["one"]["streams"] != float64(streams) {
		t.Errorf("%+v", one.Topics)
	}
}
