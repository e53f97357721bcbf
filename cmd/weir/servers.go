package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/stream"
	"weir/web"
)

// servers are the two HTTP servers: the public one, which begins when the
// topics are there, and that of the administrators, if there is one, which
// answers from the start.
type servers struct {
	cfg     *config
	secrets *secrets
	faults  *faultLog
	failed  chan error // of a server that has ended by itself

	public       *http.Server // nil until listen
	admin        *http.Server // nil: none
	adminHandler atomic.Pointer[http.Handler]
	addr         net.Addr // of the public server
	adminAddr    net.Addr
	serving      sync.WaitGroup
}

// openServers begins to serve the administrators. It tries the public address, so
// that an address in use ends the start with one clear line.
func openServers(cfg *config, secrets *secrets, logger *slog.Logger) (*servers, error) {
	s := &servers{cfg: cfg, secrets: secrets, faults: newFaultLog(logger), failed: make(chan error, 2)}
	if !strings.HasSuffix(cfg.addr, ":0") {
		l, err := listen("addr", cfg.addr)
		if err != nil {
			return nil, err
		}
		if err := l.Close(); err != nil { // closed again, so that clients are refused, not left in the backlog, until we serve
			return nil, err
		}
	}
	if cfg.adminAddr == "" {
		return s, nil
	}
	l, err := listen("admin-addr", cfg.adminAddr)
	if err != nil {
		return nil, err
	}
	s.adminAddr = l.Addr()
	s.handleAdmin(http.HandlerFunc(starting))
	s.admin = s.server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.adminHandler.Load()).ServeHTTP(w, r)
	}))
	s.serve(func() error { return s.admin.Serve(l) })
	logger.Debug("the admin address answers", "addr", s.adminAddr.String())
	return s, nil
}

// starting answers the administrators until the topics are there.
func starting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body := `{"status":"alive"}`
	if r.URL.Path != "/livez" {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		body = `{"status":"not ready","reasons":["the topics have not joined their broker yet"]}`
	}
	_, _ = io.WriteString(w, body+"\n") // a client that is gone
}

func (s *servers) handleAdmin(h http.Handler) { s.adminHandler.Store(&h) }

// listen begins to serve the public, and tells the addresses.
func (s *servers) listen(site *web.Server, stdout io.Writer) error {
	l, err := listen("addr", s.cfg.addr)
	if err != nil {
		return err
	}
	s.addr = l.Addr()
	s.public = s.server(site.Handler())
	site.BoundSockets(s.public)
	scheme, lean := "http", stream.NewListener(l)
	if s.secrets.cert.Load() != nil {
		scheme = "https"
		s.public.TLSConfig = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.secrets.cert.Load(), nil },
		}
		s.serve(func() error { return s.public.ServeTLS(lean, "", "") })
	} else {
		s.serve(func() error { return s.public.Serve(lean) })
	}
	fmt.Fprintf(stdout, "listening on %s://%s\n", scheme, s.addr)
	if s.admin != nil {
		fmt.Fprintf(stdout, "admin on http://%s\n", s.adminAddr)
	}
	if s.cfg.play {
		fmt.Fprint(stdout, invitation(fmt.Sprintf("%s://%s", scheme, s.addr)))
	}
	return nil
}

func (s *servers) serve(f func() error) {
	s.serving.Go(func() { s.failed <- fmt.Errorf("serving: %w", f()) })
}

// server returns a server with deadlines for everything but the stream, which
// sets its own for each write: WriteTimeout would end every stream.
func (s *servers) server(handler http.Handler) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          s.faults.logger(),
		Protocols:         new(http.Protocols),
		ConnContext:       stream.ConnContext,
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return server
}

// shutdown waits for the requests that are under way, for a short time.
func (s *servers) shutdown(second context.Context) {
	var all sync.WaitGroup
	for _, server := range []*http.Server{s.public, s.admin} {
		if server == nil {
			continue
		}
		all.Go(func() {
			grace := 2 * time.Second
			if second.Err() != nil {
				grace = lastMoment / 2 // for the streams' last bytes
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(second), grace)
			defer cancel()
			_ = server.Shutdown(ctx) // whoever is left is cut by close
		})
	}
	all.Wait()
}

// close ends the servers at once.
func (s *servers) close() {
	for _, server := range []*http.Server{s.public, s.admin} {
		if server != nil {
			_ = server.Close() // its listener is closed, or was
		}
	}
	s.serving.Wait()
	s.faults.close()
}

// listen opens a listener, and says what to do where it cannot.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use: another program listens there; choose another with -%s", addr, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s needs a privilege that this user does not have", addr)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	return l, nil
}
