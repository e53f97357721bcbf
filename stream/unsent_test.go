package stream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// Of a client that takes nothing it is known at once that a write waits for it, and for
// how long. What it was sent and what it was not sent is all that was published, to the
// event, also when it was cut off in the middle of a batch, and when it was to be told of
// faults between events.
func TestTransportTellsWhatWasNotSent(t *testing.T) {
	const timeout = time.Second
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 1_000_000, Bytes: 1 << 30}}, &stream.Handler{WriteTimeout: timeout})
		conn := s.dial(t)
		until(t, "the connection", func() bool { return s.handler.Active() == 1 })
		c := s.handler.Conns()[0]
		until(t, "the greeting to be written, and nothing to wait", func() bool { d, left := c.Stuck(); return d == 0 && left == 0 })
		const moment = timeout / 4
		published, fail := 0, failing(t, s.hub)
		behind := false // there is more than the batch that waits
		var waits, left time.Duration
		until(t, "a write to wait", func() bool {
			waits, left = c.Stuck()
			if waits == 0 || waits > moment/4 && !behind {
				behind = waits > 0
				var data []string
				for range 200 { // many small ones: a batch has hundreds
					data = append(data, fmt.Sprintf(`"%d%s"`, published, strings.Repeat("x", 200)))
					published++
				}
				s.publish(t, data...)
				for range 10 {
					fail(true)
					published++
				}
			}
			return waits > moment && untaken(c)
		})
		if waiting, _ := c.Unsent(); c.Events()+waiting != int64(published) {
			t.Errorf("while a write waits, %d events were sent and %d not sent, of %d", c.Events(), waiting, published)
		}
		if blocked := c.Blocked(); blocked < moment {
			t.Errorf("writes have waited for %v in all, and the one under way for more than %v", blocked, moment)
		}
		if left > timeout-moment {
			t.Errorf("it has waited for %v, and is cut in %v, of %v", waits, left, timeout)
		}
		until(t, "the cut", func() bool { return s.handler.Totals().Closed[stream.CloseSlow] == 1 })
		if c.Left() != stream.CloseSlow {
			t.Errorf("it was cut for being slow, and is said to have ended as %s", c.Left())
		}
		s.publish(t, "1") // which came after
		unsent, atLeast := c.Unsent()
		if c.Events()+unsent != int64(published) || !atLeast || c.Lag() != uint64(unsent) {
			t.Errorf("%d events were sent and %d not sent (at least: %v; lag %d), of %d", c.Events(), unsent, atLeast, c.Lag(), published)
		}
		// The system goes on to send what it has taken.
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		events, got := sse.NewDecoder(resp.Body), int64(0)
		for {
			m, err := events.Next()
			if err != nil {
				if errors.Is(err, io.EOF) {
					t.Error("a stream that was cut off has an orderly end")
				}
				break
			}
			if m.Event == "message" {
				got++
			}
		}
		if got < c.Events() || s.handler.Transport == "lean" && got != c.Events() {
			t.Errorf("the client could still read %d events, and was sent %d", got, c.Events())
		}
	})
}

// untaken reports whether a write waits for the client, and is not just slow.
func untaken(c *stream.Conn) bool {
	bytes, ok := c.Unread()
	return bytes > 0 || !ok
}

// Who has read all when it leaves was sent all.
func TestTransportKnowsThatAllWasSent(t *testing.T) {
	onEveryTransport(t, func(t *testing.T, open func(stream.HubOptions, *stream.Handler) *site) {
		s := open(stream.HubOptions{Topic: stream.TopicOptions{History: 8}}, &stream.Handler{})
		sub := s.subscribe(t, "")
		c := s.handler.Conns()[0]
		sub.wantIDs(t, s.publish(t, "1", "2")...)
		sub.close()
		until(t, "the end", func() bool { return s.handler.Active() == 0 })
		if n, _ := c.Unsent(); n != 0 || c.Events() != 2 {
			t.Errorf("%d events were sent, and %d not sent", c.Events(), n)
		}
	})
}

// What a gap told of was not sent.
func TestWhatAGapToldOfWasNotSent(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 4}}, &stream.Handler{WriteTimeout: time.Hour}, func(t *testing.T, f *fixture) {
		sub := f.subscribe(t, "")
		c := f.handler.Conns()[0]
		const published = 30
		var last stream.ID
		for n := range published { // the pipe holds nothing: the client is stuck at the first
			last = f.publish(t, fmt.Sprint(n))[0]
			synctest.Wait()
		}
		for {
			m, err := sub.Next()
			if err != nil {
				t.Fatal(err)
			}
			if m.ID == last.String() && m.Event == "message" {
				break
			}
		}
		synctest.Wait()
		if n, atLeast := c.Unsent(); c.Errors() != 1 || n == 0 || c.Lag() != 0 || c.Events()+n != published || atLeast {
			t.Errorf("%d events were sent and %d not sent (at least: %v), of %d; %d gaps were told", c.Events(), n, atLeast, published, c.Errors())
		}
	})
}

// failing gives a topic a source, and returns what has it fail, so that clients are told of
// a fault, and then publish an event, or not.
func failing(t *testing.T, hub *stream.Hub) (fail func(publish bool)) {
	t.Helper()
	asked, done := make(chan bool), make(chan struct{})
	source := stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
		for {
			select {
			case publish := <-asked:
				for range 3 {
					p.Fail(errors.New("broken"))
				}
				if publish {
					if err := p.Publish(ctx, stream.Event{Data: []byte("1")}); err != nil {
						return err
					}
				}
				done <- struct{}{}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err := hub.AddSource("a", source); err != nil {
		t.Fatal(err)
	}
	return func(publish bool) {
		asked <- publish
		<-done
	}
}

// A notice of a fault is no event: it is not among those that wait for a client, that the
// log has dropped, that a gap tells of, or that were not sent.
func TestFaultIsNoEventThatWaits(t *testing.T) {
	bubble(t, stream.HubOptions{Topic: stream.TopicOptions{History: 9}}, &stream.Handler{WriteTimeout: time.Hour}, func(t *testing.T, f *fixture) {
		sub := f.subscribe(t, "")
		fail := failing(t, f.hub)
		c := f.handler.Conns()[0]
		fail(false)
		synctest.Wait()
		if c.Lag() != 0 {
			t.Errorf("a fault alone makes a lag of %d", c.Lag())
		}
		const published = 20
		for n := range uint64(published) {
			fail(true) // the pipe holds nothing: the client is stuck at the first fault
			synctest.Wait()
			unsent, _ := c.Unsent()
			if lag, held := c.Lag(), uint64(f.hub.Health()["a"].Log.Entries-f.hub.Health()["a"].Log.Notices); lag != n+1 || unsent != int64(lag) || c.Dropped() != lag-held {
				t.Fatalf("of %d events %d wait, %d were not sent, and %d are dropped; %d are held", n+1, lag, unsent, c.Dropped(), held)
			}
		}
		missed := 0
		for n := 0; n < published; {
			m, err := sub.Next()
			if err != nil {
				t.Fatal(err)
			}
			switch m.Event {
			case "gap":
				var gap struct{ Missed int }
				if err := json.Unmarshal(m.Data, &gap); err != nil {
					t.Fatal(err)
				}
				missed += gap.Missed
				n += gap.Missed
			case "message":
				n++
			}
		}
		synctest.Wait()
		if unsent, _ := c.Unsent(); missed == 0 || c.Lag() != 0 || unsent != int64(missed) || c.Missed() != unsent || c.Events() != published-unsent {
			t.Errorf("%d events were sent, %d wait, %d were not sent, and the gap told of %d", c.Events(), c.Lag(), unsent, missed)
		}
	})
}

// The latest streams that a fault has ended are remembered, and no others.
func TestFaultedStreamsAreRemembered(t *testing.T) {
	bubble(t, stream.HubOptions{}, &stream.Handler{}, func(t *testing.T, f *fixture) {
		var ids []string
		end := func(reason stream.CloseReason) (id string) {
			sub := f.subscribe(t, "")
			c := f.handler.Conns()[0]
			c.Close(reason)
			synctest.Wait()
			sub.close()
			return c.ID
		}
		for range 300 {
			ids = append(ids, end(stream.CloseSlow))
		}
		if _, ok := f.handler.Faulted(end("lifetime")); ok {
			t.Error("one that came of age is remembered")
		}
		for i, id := range ids {
			told, ok := f.handler.Faulted(id)
			if ok != (i >= 300-256) || ok && (told.ID != id || told.Topic != "a" || told.Reason != stream.CloseSlow || told.At.IsZero()) {
				t.Fatalf("of number %d of 300: %+v, %v", i, told, ok)
			}
		}
	})
}
