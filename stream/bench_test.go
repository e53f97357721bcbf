package stream_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
	"weir/stream/streamtest"
)

// benchData is 200 bytes of JSON, as make bench publishes them.
var benchData = []byte(`{"t":1763834025123456789,"n":1234560000000000,"pad":"` + strings.Repeat("x", 144) + `"}`)

func benchEvent() *stream.Event {
	return &stream.Event{Type: stream.DefaultType, Source: "/topics/bench", Time: time.Unix(1763834025, 123e6), ContentType: stream.JSON, Data: benchData}
}

func BenchmarkLogAppend(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", size), func(b *testing.B) {
			log := stream.NewLog(stream.LogOptions{})
			events := make([]*stream.Event, size)
			b.ReportAllocs()
			for b.Loop() {
				for i := range events {
					events[i] = benchEvent()
				}
				if err := log.Append(events...); err != nil {
					b.Fatal(err)
				}
			}
			perEvent(b, size)
		})
	}
}

func perEvent(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
}

// BenchmarkCursor reads what a log holds: a client that comes back.
func BenchmarkCursor(b *testing.B) {
	const held = 1000
	log := stream.NewLog(stream.LogOptions{})
	for range held {
		if err := log.Append(benchEvent()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c := log.From(stream.ID{})
		for n := 0; n < held; {
			batch, err := c.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.Entries)
		}
	}
	perEvent(b, held)
}

func BenchmarkEncoder(b *testing.B) {
	b.Run("message", func(b *testing.B) {
		m := sse.Message{ID: "1763834025123-0", Data: benchData}
		var buf []byte
		b.ReportAllocs()
		b.SetBytes(int64(len(m.AppendTo(nil))))
		for b.Loop() {
			buf = m.AppendTo(buf[:0])
		}
	})
	b.Run("html", func(b *testing.B) {
		m := sse.Message{ID: "1763834025123-0", Data: []byte(strings.Repeat("<div class=\"reading\">21.5 °C</div>\n", 10))}
		var buf []byte
		b.ReportAllocs()
		b.SetBytes(int64(len(m.AppendTo(nil))))
		for b.Loop() {
			buf = m.AppendTo(buf[:0])
		}
	})
	b.Run("cloudevent", func(b *testing.B) {
		e := benchEvent()
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if buf, err = e.AppendCloudEvent(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(buf)))
	})
}

// A repeater is a stream that never ends.
type repeater struct {
	block []byte
	at    int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.block[r.at:])
		n += k
		r.at = (r.at + k) % len(r.block)
	}
	return n, nil
}

func BenchmarkDecoder(b *testing.B) {
	block := sse.Message{ID: "1763834025123-0", Data: benchData}.AppendTo(nil)
	d := sse.NewDecoder(&repeater{block: block})
	b.ReportAllocs()
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := d.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// A crowd is many cursors of one log, each with a goroutine that reads.
type crowd struct {
	log  *stream.Log
	size int64
	left atomic.Int64 // deliveries that are still to be made
	done chan struct{}
	stop context.CancelFunc
	work sync.WaitGroup
}

func newCrowd(size int) *crowd {
	c := &crowd{log: stream.NewLog(stream.LogOptions{}), size: int64(size), done: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	for range size {
		cursor := c.log.Live()
		c.work.Go(func() {
			for {
				batch, err := cursor.Next(ctx)
				if err != nil {
					return
				}
				if c.left.Add(-int64(len(batch.Entries))) == 0 {
					c.done <- struct{}{}
				}
			}
		})
	}
	return c
}

func (c *crowd) close() {
	c.stop()
	c.work.Wait()
}

// append puts one event in and returns; await waits until everybody has it.
func (c *crowd) append(b *testing.B) {
	c.left.Add(c.size)
	if err := c.log.Append(benchEvent()); err != nil {
		b.Fatal(err)
	}
}

func (c *crowd) await() { <-c.done }

// BenchmarkFanout delivers one event to so many waiting cursors.
func BenchmarkFanout(b *testing.B) {
	for _, size := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("cursors=%d", size), func(b *testing.B) { fanOut(b, newCrowd(size)) })
	}
}

func fanOut(b *testing.B, c *crowd) {
	defer c.close()
	b.ReportAllocs()
	for b.Loop() {
		c.append(b)
		c.await()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.size), "ns/delivery")
}

// BenchmarkPublish is what a publisher waits for while so many cursors wait
// for the event: it shall not depend on their number.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("connections=%d", size), func(b *testing.B) {
			p := newPool(b, size)
			var took time.Duration
			for b.Loop() {
				p.left.Add(int64(size))
				began := time.Now()
				p.publish(b)
				took += time.Since(began)
				if size > 0 {
					<-p.done
				}
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/publish")
		})
	}
}

// BenchmarkGrowth is the curve from a thousand cursors to a million: time for
// each delivery, and memory for each cursor, without and with a goroutine that
// waits on it.
func BenchmarkGrowth(b *testing.B) {
	for size := 1000; size <= 1_000_000; size *= 10 {
		b.Run(fmt.Sprintf("alone/cursors=%d", size), func(b *testing.B) {
			log := stream.NewLog(stream.LogOptions{})
			before := memory()
			cursors := make([]*stream.Cursor, size)
			for i := range cursors {
				cursors[i] = log.Live()
			}
			each := (memory() - before) / float64(size)
			for b.Loop() {
				if err := log.Append(benchEvent()); err != nil {
					b.Fatal(err)
				}
				for _, c := range cursors {
					if _, err := c.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/delivery")
			b.ReportMetric(each, "B/cursor")
		})
		b.Run(fmt.Sprintf("waiting/cursors=%d", size), func(b *testing.B) {
			before := memory()
			c := newCrowd(size)
			each := (memory() - before) / float64(size)
			fanOut(b, c)
			b.ReportMetric(each, "B/cursor")
		})
	}
}

// memory returns the bytes of heap and stacks in use.
func memory() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

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
					if p.left.Add(-int64(f.Batch.Events)) == 0 {
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

func (p *pool) publish(b *testing.B) {
	if _, err := p.hub.Publish(b.Context(), "bench", *benchEvent()); err != nil {
		b.Fatal(err)
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
					p.left.Add(int64(size * burst))
					events := make([]stream.Event, burst)
					for i := range events {
						events[i] = *benchEvent()
					}
					if _, err := p.hub.Publish(b.Context(), "bench", events...); err != nil {
						b.Fatal(err)
					}
					<-p.done
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size*burst), "ns/delivery")
			})
		}
	}
}
