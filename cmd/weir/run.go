package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"weir/cmd/weir/bench"
	"weir/stream"
)

// run is the program. Environ is as os.Environ gives it. It returns when ctx is
// done or a signal has ended it.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	proc := &process{stdin: stdin}
	kinds := proc.kinds()
	if len(args) > 0 {
		switch args[0] {
		case "version", "-version", "--version":
			fmt.Fprintf(stdout, "weir %s\n", version())
			return nil
		case "bench":
			err := bench.Run(ctx, args[1:], stdout, stderr)
			if usage := new(bench.UsageError); errors.As(err, &usage) {
				return usageError{err}
			}
			return err
		case "help":
			settings := (&config{kinds: kinds}).settings()
			if len(args) == 2 && args[1] == "-markdown" {
				printMarkdown(stdout, settings)
			} else {
				printHelp(stdout, settings)
			}
			return nil
		}
	}
	cfg, err := parseConfig(args, environ, stdout, kinds)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return serve(ctx, cfg, proc, stdout, stderr)
}

// version is the module's, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, dirty := info.Main.Version, ""
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				v = "devel-" + s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-modified"
			}
		}
	}
	return v + dirty
}

// listen opens the listeners before anything else starts, so that an address
// in use is one clear line and not half a start.
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

// A certificate is read again on SIGHUP.
func (c *config) certificate() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	return &pair, nil
}

// httpServer has deadlines for everything but the stream, which sets its own
// for each write: WriteTimeout would end every stream.
func httpServer(handler http.Handler, logger *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
		ConnContext:       stream.ConnContext,
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// signals returns a context that is done at the first SIGTERM or Ctrl-C, one
// that is done at the second, and what SIGHUP sends on.
func signals(parent context.Context) (first, second context.Context, hangup <-chan os.Signal, stop func()) {
	first, cancelFirst := context.WithCancel(parent)
	second, cancelSecond := context.WithCancel(context.WithoutCancel(parent))
	end := make(chan os.Signal, 2)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for _, cancel := range []func(){cancelFirst, cancelSecond} {
			select {
			case <-end:
				cancel()
			case <-done:
			}
		}
	}()
	return first, second, hup, func() {
		signal.Stop(end)
		signal.Stop(hup)
		close(done)
		cancelFirst()
		cancelSecond()
	}
}
