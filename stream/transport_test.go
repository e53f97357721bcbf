package stream_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// Reasons for which there is no name outside the package.
const (
	closeReset    stream.CloseReason = "reset"
	closeVanished stream.CloseReason = "vanished"
	closeError    stream.CloseReason = "error"
	closeDrain    stream.CloseReason = "drain"
)

// Everything here must hold on every transport, over real sockets.

func TestTransportDelivers(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 50_000, Pace: 2 * time.Millisecond}}, &stream.Handler{})
		const readers, events = 40, 2000
		var work sync.WaitGroup
		want := make(chan []stream.ID)
		for range readers {
			sub := s.subscribe(t, "")
			if sub.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || sub.header.Get("X-Test") != "kept" {
				t.Errorf("header: %v", sub.header)
			}
			work.Go(func() {
				var got []string
				for range events {
					m, err := sub.Next()
					if err != nil {
						t.Errorf("after %d events: %v", len(got), err)
						break
					}
					got = append(got, m.ID)
				}
				for i, id := range <-want {
					if i >= len(got) || got[i] != id.String() {
						t.Errorf("event %d is not %v", i, id)
						return
					}
				}
			})
		}
		var ids []stream.ID
		for i := range events / 4 {
			ids = append(ids, s.publish(t, "1", "2", "3", fmt.Sprint(i))...)
		}
		for range readers {
			want <- ids
		}
		work.Wait()
		conns := s.handler.Conns()
		if len(conns) != readers {
			t.Fatalf("%d connections", len(conns))
		}
		for _, c := range conns {
			until(t, "the counters", func() bool { return c.Events() == events && c.Lag() == 0 })
			if c.Bytes() < events*30 {
				t.Errorf("%d bytes", c.Bytes())
			}
		}
	})
}

func TestTransportResumesWithoutSeam(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 50_000, Pace: time.Millisecond}}, &stream.Handler{})
		var publishing sync.WaitGroup
		var all []stream.ID
		first := s.publish(t, "0")[0]
		room := make(chan struct{}, 1000) // the publisher is so many events ahead at most
		publishing.Go(func() {
			for range room {
				all = append(all, s.publish(t, "1", "2")...)
			}
		})
		stop := sync.OnceFunc(func() { close(room); publishing.Wait() })
		defer stop()
		for range cap(room) {
			room <- struct{}{}
		}
		// One client that comes and goes all the time sees one unbroken run.
		var got []string
		last := first.String()
		for round := range 30 {
			sub := s.subscribe(t, "", "Last-Event-ID", last)
			for range 20 + round*5 {
				m := sub.want(t, "message")
				got = append(got, m.ID)
				last = m.ID
				room <- struct{}{}
			}
			sub.close()
		}
		stop()
		for i, id := range got {
			if id != all[i].String() {
				t.Fatalf("event %d is %s, want %s", i, id, all[i])
			}
		}
		until(t, "the connections to end", func() bool { return s.handler.Active() == 0 })
		// A client that leaves without having read all resets its connection.
		closed := s.handler.Totals().Closed
		if n := closed[stream.CloseClient] + closed[closeReset]; n != 30 {
			t.Errorf("closed: %v", s.handler.Totals().Closed)
		}
	})
}

// A stream that is idle for longer than a write may wait is pinged, and not cut.
func TestTransportHeartbeat(t *testing.T) {
	const timeout, heartbeat = time.Second, 1200 * time.Millisecond // a busy machine is slow, too
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{Heartbeat: heartbeat, WriteTimeout: timeout})
		start := time.Now()
		sub := s.subscribe(t, "")
		sub.want(t, "ping")
		if d := time.Since(start); d < timeout {
			t.Errorf("a ping within %v", d)
		}
		ids := s.publish(t, "1")
		for {
			m, err := sub.Next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Event == "message" && m.ID == ids[0].String() {
				break
			}
		}
	})
}

func TestTransportTells(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		source := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			for range 3 {
				p.Fail(errors.New("broken"))
			}
			if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
				return err
			}
			return nil
		})
		sub := s.subscribe(t, "")
		if err := s.hub.AddSource("a", source); err != nil {
			t.Fatal(err)
		}
		sub.want(t, "stream-error")
		sub.want(t, "message")
		sub.want(t, "close")
		if _, err := sub.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after close: %v", err)
		}
		until(t, "the connection to end", func() bool { return s.handler.Totals().Closed[stream.CloseEnded] == 1 })
	})
}

func TestTransportDrains(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		var subs []*subscription
		for range 20 {
			subs = append(subs, s.subscribe(t, ""))
		}
		s.publish(t, "1")
		for _, sub := range subs {
			sub.want(t, "message")
		}
		if err := s.handler.Drain(t.Context(), 100*time.Millisecond); err != nil {
			t.Error(err)
		}
		for _, sub := range subs {
			sub.want(t, "ping")
			if _, err := sub.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("a stream ended with %v", err)
			}
			if sub.Retry() == 0 {
				t.Error("no retry was told")
			}
		}
		if n := s.handler.Totals().Closed[closeDrain]; n != 20 {
			t.Errorf("closed: %v", s.handler.Totals().Closed)
		}
	})
}

// A compressed stream is one valid gzip member, whatever is written to it, and
// what is flushed can be read at once.
func TestTransportCompresses(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{Compress: true, Heartbeat: 50 * time.Millisecond})
		sub := func(last string) (*sse.Decoder, *http.Response) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", "gzip")
			req.Header.Set("Last-Event-ID", last)
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("header: %v", resp.Header)
			}
			r, err := gzip.NewReader(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return sse.NewDecoder(r), resp
		}
		read := func(d *sse.Decoder, event string) sse.Message {
			for {
				m, err := d.Next()
				if err != nil {
					t.Fatalf("waiting for %s: %v", event, err)
				}
				if m.Event == event {
					return m
				}
			}
		}
		long := `"` + strings.Repeat("long ", 40_000) + `"`
		noise := make([]byte, 100_000)
		for i := range noise {
			noise[i] = "0123456789abcdef"[rand.IntN(16)]
		}
		ids := s.publish(t, "1", long, `"`+string(noise)+`"`)
		plain := s.subscribe(t, "", "Last-Event-ID", "0", "Accept-Encoding", "gzip;q=0")
		if plain.header.Get("Content-Encoding") != "" {
			t.Errorf("header: %v", plain.header)
		}
		var streams []*sse.Decoder
		for range 3 {
			d, resp := sub("0")
			defer resp.Body.Close()
			streams = append(streams, d)
		}
		for _, d := range streams {
			read(d, "connected")
			for _, id := range ids {
				if m := read(d, "message"); m.ID != id.String() {
					t.Fatalf("got %s, want %s", m.ID, id)
				}
			}
			read(d, "ping")
		}
		for round := range 20 {
			id := s.publish(t, fmt.Sprintf(`{"round":%d,"text":%q}`, round, strings.Repeat("text ", 20)))[0]
			for _, d := range streams {
				if m := read(d, "message"); m.ID != id.String() || !strings.Contains(string(m.Data), fmt.Sprintf(`"round":%d,`, round)) {
					t.Fatalf("got %s %s", m.ID, m.Data)
				}
			}
		}
		for _, c := range s.handler.Conns() {
			if c.Bytes() > 300_000 {
				continue // the plain one
			}
			if c.Bytes() < 50_000 || c.Bytes() > 250_000 {
				t.Errorf("%d bytes for 300 kB of which 200 kB are repetitions", c.Bytes())
			}
		}
		if err := s.hub.EndTopic("a", "over"); err != nil {
			t.Fatal(err)
		}
		for _, d := range streams {
			read(d, "close")
			if _, err := d.Next(); !errors.Is(err, io.EOF) { // the checksum is right
				t.Errorf("at the end: %v", err)
			}
		}
	})
}
