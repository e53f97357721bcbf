package stream_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/stream"
)

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
	return subscribeWith(t, ctx, cancel, s.client, s.url+"/"+query, header...)
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
