package stream_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
)

// A pool is a handler with so many clients over connections in memory.
type pool struct {
	hub  *stream.Hub
	left atomic.Int64 // deliveries that are still to be flushed
	done chan struct{}
}

func newPool(b *testing.B, size int) *pool {
	b.Helper()
	p := &pool{done: make(chan struct{}, 1)}
	opened := make(chan struct{}, size)
	p.hub = stream.NewHub(stream.HubOptions{Hooks: stream.Hooks{
		Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			return stream.ConnHooks{
				Open: func(time.Time) { opened <- struct{}{} },
				Flush: func(f *stream.Flush) {
					if p.left.Add(-int64(f.Events)) == 0 {
						p.done <- struct{}{}
					}
				},
			}
		},
	}})
	if err := p.hub.AddTopic("bench"); err != nil {
		b.Fatal(err)
	}
	listener := streamtest.NewListener()
	server := &http.Server{Handler: &stream.Handler{Hub: p.hub}}
	var work sync.WaitGroup
	work.Go(func() { _ = server.Serve(listener) }) // ends by Close below
	var clients []net.Conn
	for range size {
		client, err := listener.Dial(b.Context(), "", "")
		if err != nil {
			b.Fatal(err)
		}
		clients = append(clients, client)
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		work.Go(func() { _, _ = io.Copy(io.Discard, client) }) // until it is closed
	}
	for range size {
		<-opened
	}
	b.Cleanup(func() {
		for _, c := range clients {
			_ = c.Close()
		}
		_ = server.Close()
		work.Wait()
		p.hub.Close()
	})
	return p
}

// publish publishes so many events at once, and returns when that is done; all
// of the pool have them when done says so.
func (p *pool) publish(b *testing.B, size, events int) {
	p.left.Add(int64(size * events))
	burst := make([]stream.Event, events)
	for i := range burst {
		burst[i] = stream.Event{Data: benchData}
	}
	if _, err := p.hub.Publish(b.Context(), "bench", burst...); err != nil {
		b.Fatal(err)
	}
}

var benchData = []byte(`{"t":1763834025123456789,"n":1234560000000000,"pad":"` + strings.Repeat("x", 144) + `"}`)

// BenchmarkPublish is what a publisher waits for while so many connections wait
// for the event: it shall not depend on their number.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("connections=%d", size), func(b *testing.B) {
			p := newPool(b, size)
			var took time.Duration
			for b.Loop() {
				began := time.Now()
				p.publish(b, size, 1)
				took += time.Since(began)
				if size > 0 {
					<-p.done
				}
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/publish")
		})
	}
}

// BenchmarkHandler delivers through the handler and net/http, over connections
// in memory: single events, and bursts, which are written together.
func BenchmarkHandler(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		for _, burst := range []int{1, 100} {
			b.Run(fmt.Sprintf("connections=%d/burst=%d", size, burst), func(b *testing.B) {
				p := newPool(b, size)
				b.ReportAllocs()
				for b.Loop() {
					p.publish(b, size, burst)
					<-p.done
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size*burst), "ns/delivery")
			})
		}
	}
}
