package web_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/web"
)

// A stream that is over is told of for a while, with why it ended.
func TestStreamsTellHowAStreamHasEnded(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
	next := frames(t, subscribe(t, server.URL+"/streams"))
	first := next()
	if len(first.Open) != 1 || len(first.Ended) != 0 {
		t.Fatalf("the first frame is %+v", first)
	}
	s.handler.Conns()[0].Close(stream.CloseSlow)
	deadline := time.Now().Add(20 * time.Second)
	for f := next(); ; f = next() {
		if len(f.Ended) == 1 {
			if e := f.Ended[0]; e.N != first.Open[0].N || e.ID != first.Open[0].ID || e.Reason != "slow" || !e.Fault {
				t.Fatalf("the end is told as %+v", e)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stream's end is not told")
		}
	}
	if later := frames(t, subscribe(t, server.URL+"/streams"))(); len(later.Ended) != 1 {
		t.Errorf("one who comes later is told of %d ends, want 1", len(later.Ended))
	}
}

// A client that takes nothing is told of as such while it does, with when it is cut off;
// and at the end what it was sent and what not is all that was published.
func TestStreamsTellOfWhoTakesNothing(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Stream.WriteTimeout = 4 * time.Second })
	server := s.listen()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /sse-stream?topic=one&subject=mine&format=json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream", func() bool { return s.handler.Active() == 1 })
	c := s.handler.Conns()[0]
	data, published := []byte(`"`+strings.Repeat("x", 10_000)+`"`), int64(0)
	until(t, "a write to wait", func() bool {
		for range 20 {
			if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Subject: "mine", Data: data}, stream.Event{Subject: "another", Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			published++
		}
		since, _ := c.Stuck()
		unread, ok := c.Unread()
		return since > 200*time.Millisecond && (unread > 0 || !ok) // it waits for the client, and is not just slow
	})
	next := frames(t, subscribe(t, server.URL+"/streams"))
	var worst [9]int64
	for {
		f := next()
		for _, m := range f.Moved {
			if m[3] > worst[3] {
				worst = m
			}
		}
		if worst[3] == 2 {
			h := decode[healthAnswer](t, s.ofLoopback("/sse-health?connection="+c.ID), 200)
			if d := h.ConnectionDetails[c.ID]; d != nil && (d["blocked_seconds"].(float64) < 2 || d["lag_events"].(float64)+d["events_sent"].(float64) != float64(published)) {
				t.Errorf("of %d events, while it takes nothing: %v", published, d)
			}
			worst[3]++ // once
		}
		if len(f.Ended) == 0 {
			continue
		}
		if e := f.Ended[0]; e.Reason != "slow" || e.Events+e.Unsent != published || e.Unsent == 0 || !e.AtLeast {
			t.Errorf("of %d events its end is told as %+v", published, e)
		}
		break
	}
	if worst[8] != 2*worst[1] {
		t.Errorf("with an event about something else behind each of its %d, it is %d behind the newest", worst[1], worst[8])
	}
	if worst[3] < 3 || worst[1]+worst[2] != published || worst[6] < 0 || worst[6] > 3 {
		t.Errorf("of %d events, it was told last as %v", published, worst)
	}
}

// Whoever names a connection that a fault has ended is told so, if it was one of a topic
// that they may read.
func TestHealthTellsOfAConnectionThatWasCut(t *testing.T) {
	type answer struct {
		Ended map[string]struct {
			Reason, Topic string
			Sent          int64   `json:"events_sent"`
			NotSent       int64   `json:"events_not_sent"`
			Ago           float64 `json:"seconds_ago"`
		} `json:"ended_connections"`
	}
	s := newSite(t, nil)
	server := s.listen()
	ids := make(map[stream.CloseReason]string)
	for _, reason := range []stream.CloseReason{stream.CloseSlow, "lifetime"} {
		sub := subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
		if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(); err != nil || m.Event != "message" {
			t.Fatalf("%+v, %v", m, err)
		}
		c := s.handler.Conns()[0]
		ids[reason] = c.ID
		c.Close(reason)
		until(t, "the end", func() bool { return s.handler.Active() == 0 })
	}
	cut := decode[answer](t, s.do("GET", "/sse-health?connection="+ids[stream.CloseSlow], ""), 200).Ended[ids[stream.CloseSlow]]
	if cut.Reason != "slow" || cut.Topic != "one" || cut.Sent != 1 || cut.NotSent != 0 || cut.Ago <= 0 || cut.Ago > 30 {
		t.Errorf("one that was cut is told of as %+v", cut)
	}
	for name, address := range map[string]string{
		"one that came of age":  "/sse-health?connection=" + ids["lifetime"],
		"one of another topic":  "/sse-health?topic=two&connection=" + ids[stream.CloseSlow],
		"one that nobody names": "/sse-health",
	} {
		if told := decode[answer](t, s.do("GET", address, ""), 200).Ended; len(told) != 0 {
			t.Errorf("of %s: %+v", name, told)
		}
	}
}
