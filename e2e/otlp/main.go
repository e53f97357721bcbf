// Otlp measures what Weir's telemetry sends with default settings: it is the
// collector, and counts spans and bytes while `weir bench` reads and publishes.
//
//	go run ./e2e/otlp -c 1000 -rate 50 -pages 50 -for 5m
//
// Some of the readers are pages: they report when each event was on screen. The
// beginning is left out: when a stream opens it makes a span, and four more in
// the next five minutes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.IntVar(&o.readers, "c", 1000, "streams that only read")
	flag.IntVar(&o.pages, "pages", 50, "streams whose pages report each event")
	flag.Float64Var(&o.rate, "rate", 50, "events a second")
	flag.DurationVar(&o.warm, "warm", 70*time.Second, "time before the measurement")
	flag.DurationVar(&o.length, "for", 5*time.Minute, "time of the measurement")
	flag.Parse()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "otlp:", err)
		os.Exit(1)
	}
}

type options struct {
	readers, pages int
	rate           float64
	warm, length   time.Duration
}

func run(ctx context.Context, o options, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, o.warm+o.length+2*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "weir-otlp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := new(collector)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: c}
	go func() { _ = server.Serve(l) }() // it ends with the program
	defer server.Close()
	weir, address, wait, err := startWeir(ctx, dir, "http://"+l.Addr().String())
	if err != nil {
		return err
	}
	defer func() {
		cancel()
		wait()
	}()
	stream := address + "/sse-stream?topic=bench&format=json"
	if err := openPages(ctx, address, stream, o.pages); err != nil {
		return err
	}
	bench := exec.CommandContext(ctx, weir, "bench", "-json", "-c", fmt.Sprint(o.readers), "-rate", fmt.Sprint(o.rate), "-d", (o.warm + o.length).String(), "-token", token, stream)
	bench.Stderr = io.Discard
	var report struct {
		Events struct{ Missing int64 }
	}
	done := make(chan error, 1)
	go func() {
		text, err := bench.Output()
		if err == nil {
			err = json.Unmarshal(text, &report)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return fmt.Errorf("the bench ended early: %w", err)
	case <-time.After(o.warm):
	}
	began, before := time.Now(), c.snapshot()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(o.length - 2*time.Second): // before the bench's end
	}
	seconds, after := time.Since(began).Seconds(), c.snapshot()
	if err := <-done; err != nil {
		return err
	}
	if report.Events.Missing > 0 {
		return fmt.Errorf("%d events are missing", report.Events.Missing)
	}
	print(out, o, seconds, after.since(before))
	return nil
}

func print(out io.Writer, o options, seconds float64, n counts) {
	fmt.Fprintf(out, "%d streams, %d of them pages that report, %v events a second, %.0f s:\n", o.readers+o.pages, o.pages, o.rate, seconds)
	total := 0
	for _, name := range slices.Sorted(maps.Keys(n.spans)) {
		if n.spans[name] > 0 {
			fmt.Fprintf(out, "  %-22s %6.1f spans a second\n", name, float64(n.spans[name])/seconds)
			total += n.spans[name]
		}
	}
	fmt.Fprintf(out, "  %-22s %6.1f spans a second\n", "together", float64(total)/seconds)
	for _, signal := range slices.Sorted(maps.Keys(n.bytes)) {
		fmt.Fprintf(out, "  %-22s %6.1f MB an hour, %.1f MB with gzip\n", strings.TrimPrefix(signal, "/v1/"), float64(n.bytes[signal])*3600/seconds/1e6, float64(n.gzipped[signal])*3600/seconds/1e6)
	}
	if total > 0 {
		fmt.Fprintf(out, "  %-22s %6d bytes\n", "a span", n.bytes["/v1/traces"]/total)
	}
}

const token = "otlp"

// startWeir builds Weir and runs it until the context is done; wait returns when it
// has ended.
func startWeir(ctx context.Context, dir, endpoint string) (binary, address string, wait func(), err error) {
	binary = filepath.Join(dir, "weir")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		return "", "", nil, fmt.Errorf("building weir: %w\n%s", err, text)
	}
	cmd := exec.CommandContext(ctx, binary, "-addr", "127.0.0.1:0", "-source", "bench=http", "-publish-token", token, "-publish-rate", "0",
		"-max-conns-per-client", "0", "-connect-rate", "0", "-max-sockets-per-client", "0", "-trusted-proxy", "127.0.0.1")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "OTEL_") || strings.HasPrefix(s, "WEIR_") }),
		"OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", "", nil, err
	}
	if _, err := fmt.Fscanf(stdout, "listening on %s\n", &address); err != nil {
		return "", "", nil, fmt.Errorf("weir did not start: %w", err)
	}
	return binary, address, func() { _ = cmd.Wait() }, nil // it is killed
}
