//go:build unix

package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/telemetry"
)

// benchServer serves one topic to so many connections over TCP. The clients
// read between the turns only, so that the CPU time of a turn is the server's.
type benchServer struct {
	hub     *stream.Hub
	handler *stream.Handler
	tel     *telemetry.Telemetry // nil for none
	http    *httptest.Server
	clients []syscall.RawConn
	events  int64 // that every client has
}

func newBenchServer(b *testing.B, conns int, with bool, eventTraces int) *benchServer {
	b.Helper()
	s := &benchServer{}
	var hooks stream.Hooks
	if with {
		var err error
		s.tel, err = telemetry.Setup(b.Context(), telemetry.Options{EventTraces: eventTraces, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		hooks = s.tel.Hooks()
	}
	s.hub = stream.NewHub(stream.HubOptions{Hooks: hooks})
	if err := s.hub.AddTopic("sensor"); err != nil {
		b.Fatal(err)
	}
	s.handler = &stream.Handler{Hub: s.hub, Heartbeat: time.Hour}
	var h http.Handler = s.handler
	if with {
		h = s.tel.Middleware("/sse-stream", h)
	}
	s.http = httptest.NewServer(h)
	for range conns {
		c, err := net.Dial("tcp", s.http.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "GET /sse-stream HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			b.Fatal(err)
		}
		s.clients = append(s.clients, raw)
	}
	for s.handler.Active() < conns {
		time.Sleep(time.Millisecond)
	}
	b.Cleanup(s.close)
	return s
}

// fan publishes n events one by one, each to all connections.
func (s *benchServer) fan(b *testing.B, n int) {
	conns := s.handler.Conns()
	for range n {
		if _, err := s.hub.Publish(context.Background(), "sensor", stream.Event{Data: []byte(`{"temperature":21.2}`)}); err != nil {
			b.Fatal(err)
		}
		s.events++
		for _, c := range conns {
			for c.Events() < s.events {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
}

// drain reads what the clients have been sent.
func (s *benchServer) drain() {
	p := make([]byte, 64<<10)
	for _, c := range s.clients {
		_ = c.Read(func(fd uintptr) bool {
			_, _ = syscall.Read(int(fd), p)
			return true
		})
	}
}

func (s *benchServer) close() {
	_ = s.handler.Drain(context.Background(), 0)
	s.http.Close()
	s.hub.Close()
	if s.tel != nil {
		_ = s.tel.Shutdown(context.Background())
	}
}

// BenchmarkDelivery is what the hook adds to one delivery of an event: the
// flush hook of one connection, called as the stream does. The budget is 30 ns
// and no allocation.
func BenchmarkDelivery(b *testing.B) {
	tel, err := telemetry.Setup(b.Context(), telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()
	hooks := tel.Hooks()
	for _, events := range []int{1, 16} {
		log := eventlog.New(eventlog.Options{})
		cursor := log.All().Live()
		for i := range events {
			if _, err := log.Append(&stream.Event{Data: []byte(fmt.Sprint(i))}); err != nil {
				b.Fatal(err)
			}
		}
		batch, err := cursor.Next(b.Context())
		if err != nil || len(batch) != events {
			b.Fatalf("%v, %v", batch, err)
		}
		conn := hooks.Connect(httptest.NewRequest("GET", "/sse-stream", nil), &stream.Conn{ID: "c", Topic: "sensor", Protocol: "1.1", Started: time.Now()})
		f := stream.Flush{Entries: batch, Events: events, Bytes: 1000, Ended: time.Now()}
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				conn.Flush(&f)
			}
			b.ReportMetric(float64(cpuTime()-began)/float64(b.N)/float64(events), "ns-cpu/delivery")
		})
	}
}

// BenchmarkFanout publishes to a thousand connections with telemetry and
// without, by turns in one run, and reports the ratio of the CPU time. The
// budget is 1.05.
func BenchmarkFanout(b *testing.B) {
	for name, traces := range map[string]int{"unsampled": -1, "sampled": 0} {
		b.Run(name, func(b *testing.B) {
			const conns, turn = 1000, 20
			without, with := newBenchServer(b, conns, false, 0), newBenchServer(b, conns, true, traces)
			var times [2]time.Duration
			for b.Loop() {
				for i, s := range []*benchServer{without, with} {
					began := cpuTime()
					s.fan(b, turn)
					times[i] += cpuTime() - began
					s.drain()
				}
			}
			deliveries := float64(b.N) * turn * conns
			b.ReportMetric(float64(times[0])/deliveries, "ns-cpu/delivery-without")
			b.ReportMetric(float64(times[1])/deliveries, "ns-cpu/delivery-with")
			b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMetrics reads the metrics of a thousand connections.
func BenchmarkMetrics(b *testing.B) {
	s := newBenchServer(b, 1000, true, 0)
	s.tel.Observe(s.handler)
	h := s.tel.MetricsHandler()
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		_, _ = io.Copy(io.Discard, w.Body)
	}
}

// cpuTime is what the process has used: on a machine that does other things
// too, the clock on the wall says little.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
