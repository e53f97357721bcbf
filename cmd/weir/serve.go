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
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream"
	"weir/telemetry"
	"weir/web"
	"weir/web/rights"
)

// serve wires the parts and runs them until a signal.
func serve(ctx context.Context, cfg *config, proc *process, stdout, stderr io.Writer) (err error) {
	first, second, hangup, stop := signals(ctx)
	defer stop()

	eventTraces := cfg.eventTraces
	if eventTraces == 0 {
		eventTraces = -1 // none
	}
	tel, err := telemetry.Setup(ctx, telemetry.Options{
		Version: version(), Node: cfg.node, EventTraces: eventTraces,
		EventTypes: append([]string{stream.DefaultType}, cfg.kinds.EventTypes()...),
		Client:     func(r *http.Request) string { return cfg.limits.Proxies.Client(r).String() },
	})
	if bad := new(telemetry.EnvError); errors.As(err, &bad) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	defer func() {
		// A collector that does not answer must not hold the end up for long.
		ctx, cancel := context.WithTimeout(second, 3*time.Second)
		defer cancel()
		if err := tel.Shutdown(ctx); err != nil {
			fmt.Fprintf(stderr, "weir: the last telemetry was not exported: %v\n", err)
		}
	}()
	logger := slog.New(tel.LogHandler(stderr))
	slog.SetDefault(logger)

	access, err := rights.New(cfg.rights)
	if err != nil {
		return usageError{err}
	}
	var cert atomic.Pointer[tls.Certificate]
	if cfg.tlsCert != "" {
		pair, err := cfg.certificate()
		if err != nil {
			return usageError{err}
		}
		cert.Store(pair)
	}
	listener, err := listen("addr", cfg.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	var admin net.Listener
	if cfg.adminAddr != "" {
		if admin, err = listen("admin-addr", cfg.adminAddr); err != nil {
			return err
		}
		defer admin.Close()
	}

	templates, err := web.ParseTemplates(nil)
	if err != nil {
		return err
	}
	carrier, err := openBroker(first, cfg, stderr, logger)
	if err != nil {
		return err
	}
	defer carrier.close()
	hub := stream.NewHub(stream.HubOptions{
		Log:     stream.LogOptions{History: cfg.history, Bytes: cfg.historyBytes, Pace: cfg.pace},
		Formats: map[string]func([]byte, string, *stream.Event) ([]byte, error){"html": templates.AppendEvent},
		Broker:  carrier.broker,
		Hooks:   tel.Hooks(),
		Logger:  logger,
	})
	defer hub.Close()
	handler := &stream.Handler{
		Hub: hub, Format: "html", Node: cfg.node,
		Heartbeat: cfg.heartbeat, WriteTimeout: cfg.writeTimeout, Retry: cfg.retry, Lifetime: cfg.lifetime,
		Transport: stream.Transport(cfg.transport), Compress: cfg.compress,
		Logger: logger,
	}
	proc.handler.Store(handler)
	tel.Observe(handler)
	jaegerUI := (&jaegerProbe{}).url
	if cfg.jaegerUI != "" {
		jaegerUI = func() string { return cfg.jaegerUI }
	}
	server, err := web.NewServer(web.Options{
		Hub: hub, Stream: handler, Admin: admin != nil, Logger: logger,
		Access: web.Access{Rights: access, CORSOrigins: cfg.corsOrigins},
		Limits: cfg.limits,
		Page:   web.PageOptions{Templates: templates, Version: version(), JaegerUI: jaegerUI},
		Observe: web.Observe{
			Instrument: tel.Middleware, InstrumentStream: tel.StreamMiddleware, Metrics: tel.MetricsHandler(), Browser: tel.BrowserHandler(),
			Traces: tel.Journeys(), Traceparent: tel.PageTraceparent, Segments: tel.StreamSegments, Ready: carrier.ready, Cluster: carrier.cluster(),
		},
	})
	if err != nil {
		return err
	}
	handler.Admit, handler.Refuse = server.Admit, web.WriteProblem
	if err := addSources(hub, cfg.feeds); err != nil {
		return err
	}
	if !web.HasAssets() {
		logger.Warn("the page was not built into this binary: build one with make build")
	}

	scheme := "http"
	public := httpServer(server.Handler(), logger)
	if cert.Load() != nil {
		scheme = "https"
		public.TLSConfig = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil },
		}
	}
	servers := []*http.Server{public}
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	reporting, stopReporting := context.WithCancel(second)
	defer stopReporting()
	serving.Go(func() { carrier.report(reporting, cfg, listener.Addr().String(), handler) })
	serving.Go(func() {
		tidy(reporting, func() int64 { return handler.Totals().Connections }, debug.FreeOSMemory)
	})
	serving.Go(func() {
		if scheme == "https" {
			failed <- public.ServeTLS(stream.NewListener(listener), "", "")
		} else {
			failed <- public.Serve(stream.NewListener(listener))
		}
	})
	if admin != nil {
		private := httpServer(server.AdminHandler(), logger)
		servers = append(servers, private)
		serving.Go(func() { failed <- private.Serve(admin) })
	}
	fmt.Fprintf(stdout, "listening on %s://%s\n", scheme, listener.Addr())
	if admin != nil {
		fmt.Fprintf(stdout, "admin on http://%s\n", admin.Addr())
	}

	for running := true; running; {
		select {
		case <-first.Done():
			running = false
		case err := <-failed:
			return fmt.Errorf("serving: %w", err)
		case <-hangup:
			reload(cfg, access, &cert, logger)
		}
	}
	shutdown(second, cfg, handler, servers, logger, stderr)
	stopReporting()
	serving.Wait()
	return nil
}

// addSources makes a topic for each source, then starts them: a source that is
// quick must not publish before its topic's neighbours exist.
func addSources(hub *stream.Hub, feeds []feed) error {
	for _, f := range feeds {
		if err := hub.AddTopic(f.topic); err != nil {
			return usageError{err}
		}
	}
	for _, f := range feeds {
		if err := hub.AddSource(f.topic, f.source); err != nil {
			return err
		}
	}
	return nil
}

// reload reads the token file and the certificate again. A fault in either
// leaves both as they were.
func reload(cfg *config, access *rights.Rights, cert *atomic.Pointer[tls.Certificate], logger *slog.Logger) {
	pair, err := cert.Load(), error(nil)
	if cfg.tlsCert != "" {
		pair, err = cfg.certificate()
	}
	if err == nil {
		err = access.Reload()
	}
	if err != nil {
		logger.Error("reload failed, the old settings stay", "error", err)
		return
	}
	cert.Store(pair)
	logger.Info("tokens and certificate read again")
}

// shutdown ends the streams gently, then the servers.
func shutdown(second context.Context, cfg *config, handler *stream.Handler, servers []*http.Server, logger *slog.Logger, stderr io.Writer) {
	if n := handler.Active(); n > 0 {
		fmt.Fprintf(stderr, "ending %d streams over %v; a second signal ends them at once\n", n, cfg.drain)
	}
	ctx, cancel := context.WithTimeout(second, cfg.drain+5*time.Second)
	defer cancel()
	if err := handler.Drain(ctx, cfg.drain); err != nil {
		logger.Warn("streams were cut at the end", "left", handler.Active())
	}
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			grace := 2 * time.Second
			if second.Err() != nil {
				grace = 200 * time.Millisecond // for the streams' last bytes
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(second), grace)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
				_ = s.Close()
			}
		})
	}
	all.Wait()
}
