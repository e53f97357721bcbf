package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// An exchange is a request to a program and what came of it.
type exchange struct {
	method, path, body string
	header             []string
}

// do sends a request, and returns the answer with its body.
func (p *program) do(t *testing.T, x exchange) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), x.method, p.url+x.path, strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(x.header); i += 2 {
		if req.Header.Set(x.header[i], x.header[i+1]); x.header[i] == "Host" {
			req.Host = x.header[i+1]
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// get returns the body of an answer. It may be asked often: its connection is used again.
func (p *program) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// publish publishes an event with the token "hush", and returns the status.
func (p *program) publish(t *testing.T, body string, header ...string) int {
	t.Helper()
	resp, _ := p.do(t, exchange{"POST", "/publish?topic=t", body, append([]string{"Authorization", "Bearer hush", "Content-Type", "application/json"}, header...)})
	return resp.StatusCode
}

// open opens a stream, and returns what comes of it.
func (p *program) open(t *testing.T, query string, header ...string) (*http.Response, *sse.Decoder) {
	t.Helper()
	resp, _ := p.do(t, exchange{"GET", "/sse-stream?" + query, "", header})
	return resp, sse.NewDecoder(resp.Body)
}

// wantStatus opens streams one after the other, which stay open.
func (p *program) wantStatus(t *testing.T, want ...int) {
	t.Helper()
	for i, want := range want {
		if resp, _ := p.open(t, "topic=t", "Accept", "text/event-stream, application/problem+json"); resp.StatusCode != want {
			t.Errorf("stream %d: status %d, want %d", i+1, resp.StatusCode, want)
		}
	}
}

// parsed returns what the flags say.
func parsed(t *testing.T, args ...string) *config {
	t.Helper()
	cfg, err := parse(t, append([]string{"-source", "t=http"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// wired checks the handler that is made for some flags.
func wired(t *testing.T, holds func(h *stream.Handler) bool, args ...string) {
	t.Helper()
	cfg := parsed(t, args...)
	tel, err := startTelemetry(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer tel.stop(context.Background())
	topics, err := openTopics(cfg, carrier{}, tel)
	if err != nil {
		t.Fatal(err)
	}
	defer topics.hub.Close()
	if !holds(topics.handler) {
		t.Errorf("%v is not told to the handler: %+v", args, topics.handler)
	}
}

func reachLimits(t *testing.T) {
	got := parsed(t, "-max-sockets", "11", "-max-sockets-per-client", "12", "-max-requests", "13", "-max-requests-per-client", "14").limits
	if got.Sockets != 11 || got.SocketsPerClient != 12 || got.Requests != 13 || got.RequestsPerClient != 14 {
		t.Errorf("%+v", got)
	}
	// They are web's, all in one.
	p := start(t, 1, "-max-sockets-per-client", "2")
	var open []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
		time.Sleep(20 * time.Millisecond) // one after the other
	}
	last := open[len(open)-1]
	if err := last.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(last, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") // it may be closed
	if resp, err := http.ReadResponse(bufio.NewReader(last), nil); err == nil && resp.StatusCode == 200 {
		t.Error("a third socket is served with -max-sockets-per-client 2")
	}
}

// reachTLS checks that both files are used, and read again on SIGHUP.
func reachTLS(t *testing.T) {
	cert, key := certificate(t, t.TempDir(), 1)
	p := start(t, 1, "-tls-cert", cert, "-tls-key", key)
	if resp, _ := p.do(t, exchange{"GET", "/livez", "", nil}); resp.StatusCode != 200 || resp.TLS == nil || resp.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Errorf("status %d, TLS %+v", resp.StatusCode, resp.TLS)
	}
}
