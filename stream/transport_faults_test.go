package stream_test

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// One client stops reading. It is cut, it costs the others nothing, and one
// that only pauses gets every event.
func TestTransportSlowClients(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 100_000, Bytes: 1 << 30}}, &stream.Handler{WriteTimeout: 3 * time.Second})
		stopped := s.dial(t)
		until(t, "a connection", func() bool { return s.handler.Active() == 1 })
		cut := s.handler.Conns()[0]
		pausing := s.dial(t)
		until(t, "two connections", func() bool { return s.handler.Active() == 2 })
		silent := s.handler.Conns()
		live := s.subscribe(t, "")
		payload := `"` + strings.Repeat("x", 200_000) + `"`
		var ids []stream.ID
		// Nothing is published while both wait: the pause is to be short.
		until(t, "the writes to both to wait", func() bool {
			waits := 0
			for _, c := range silent {
				if since, _ := c.Stuck(); since > 100*time.Millisecond && untaken(c) {
					waits++
				} else if since == 0 {
					id := s.publish(t, payload)
					ids = append(ids, id...)
					live.wantIDs(t, id...)
				}
			}
			return waits == 2
		})
		resp, err := http.ReadResponse(bufio.NewReader(pausing), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { pausing.Close(); resp.Body.Close() }() // in this order: Close reads to the end
		late := sse.NewDecoder(resp.Body)
		if m, err := late.Next(); err != nil || m.Event != "connected" {
			t.Fatal(m.Event, err)
		}
		wantLate := func(ids ...stream.ID) {
			for i, id := range ids {
				if m, err := late.Next(); err != nil || m.ID != id.String() || len(m.Data) < 200_000 {
					t.Fatalf("event %d: got %s with %d bytes, %v; want %s", i, m.ID, len(m.Data), err, id)
				}
			}
		}
		wantLate(ids...)
		until(t, "the stopped client to be cut", func() bool {
			if s.handler.Totals().Closed[stream.CloseSlow] == 1 {
				return true
			}
			if since, _ := cut.Stuck(); since == 0 { // a write was slow, and did not wait for the client
				id := s.publish(t, payload)
				live.wantIDs(t, id...)
				wantLate(id...)
			}
			return false
		})
		more := s.publish(t, "1", "2")
		live.wantIDs(t, more...)
		for _, id := range more {
			if m, err := late.Next(); err != nil || m.ID != id.String() {
				t.Fatalf("got %s, %v; want %s", m.ID, err, id)
			}
		}
		stopped.Close()
	})
}

// Clients that leave in every way leave nothing behind.
func TestTransportDepartures(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{}, &stream.Handler{})
		for i := range 60 {
			c := s.dial(t)
			switch i % 4 {
			case 0: // at once
			case 1: // after the headers
				if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			case 2: // by a reset
				until(t, "the connection", func() bool { return s.handler.Active() > 0 })
				_ = c.SetLinger(0)
			case 3: // half
				_ = c.CloseWrite()
				until(t, "the half-closed connection to end", func() bool { return s.handler.Active() == 0 })
			}
			c.Close()
		}
		until(t, "the connections to end", func() bool { return s.handler.Active() == 0 })
		closed := s.handler.Totals().Closed
		if closed[closeError]+closed[stream.CloseSlow]+closed[stream.ClosePanic] > 0 {
			t.Errorf("closed: %v", closed)
		}
	})
}

func TestTransportPanicInAHook(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		var mu sync.Mutex
		var reasons []stream.CloseReason
		first := true
		s := open(stream.HubOptions{Hooks: stream.Hooks{Connect: func(*http.Request, *stream.Conn) stream.ConnHooks {
			mu.Lock()
			guilty := first
			first = false
			mu.Unlock()
			return stream.ConnHooks{
				Flush: func(*stream.Flush) {
					if guilty {
						panic(http.ErrAbortHandler)
					}
				},
				Disconnect: func(reason stream.CloseReason, _ error) {
					mu.Lock()
					defer mu.Unlock()
					reasons = append(reasons, reason)
				},
			}
		}}}, &stream.Handler{})
		guilty := s.subscribe(t, "")
		other := s.subscribe(t, "")
		s.publish(t, "1")
		guilty.want(t, "message")
		other.want(t, "message")
		until(t, "the connection to end", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(reasons, []stream.CloseReason{stream.ClosePanic})
		})
		s.publish(t, "2")
		other.want(t, "message")
	})
}
