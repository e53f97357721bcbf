package web_test

import (
	"context"
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

// Readers that come and go do not push out those that a fault has ended, and how many
// of them are no longer told of is said.
func TestStreamsKeepFaultsAmongOrdinaryEnds(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	open := func(n int) {
		for range n {
			subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
		}
	}
	next := frames(t, subscribe(t, server.URL+"/streams"))
	waitFor := func(what string, holds func(streamsFrame) bool) {
		deadline := time.Now().Add(20 * time.Second)
		for f := next(); !holds(f); f = next() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not told", what)
			}
		}
	}
	endAll := func(reason stream.CloseReason) {
		for _, c := range s.handler.Conns() {
			c.Close(reason)
		}
		until(t, "the ends", func() bool { return s.handler.Active() == 0 })
	}
	there := make(map[int]bool)
	opened := func(n int) func(streamsFrame) bool {
		clear(there)
		return func(f streamsFrame) bool {
			for _, reader := range f.Open {
				there[reader.N] = true
			}
			return len(there) >= n
		}
	}
	open(5)
	waitFor("five readers", opened(5))
	endAll(stream.CloseSlow)
	open(45)
	waitFor("45 readers more", opened(45))
	endAll("lifetime")
	waitFor("what is left out", func(f streamsFrame) bool { return f.MoreLeft == 25 })
	whole := frames(t, subscribe(t, server.URL+"/streams"))()
	faults := 0
	for _, e := range whole.Ended {
		if e.Fault {
			faults++
		}
	}
	if faults != 5 || len(whole.Ended) != 25 || whole.MoreLeft != 25 || whole.MoreFaulted != 0 {
		t.Errorf("of 5 faults and 45 other ends, %d and %d are told, and %d and %d more", faults, len(whole.Ended)-faults, whole.MoreFaulted, whole.MoreLeft)
	}
}

// Those that have come and gone between two frames were never in the picture, and are counted.
func TestStreamsCountWhoWasThereBriefly(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	next := frames(t, subscribe(t, server.URL+"/streams"))
	next()
	const brief = 15
	for i := range brief {
		subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
		reason := stream.CloseReason("lifetime")
		if i%3 == 0 {
			reason = stream.CloseSlow
		}
		s.handler.Conns()[0].Close(reason)
		until(t, "its end", func() bool { return s.handler.Active() == 0 })
	}
	deadline := time.Now().Add(20 * time.Second)
	faults, others := 0, 0
	for faults != brief/3 || others != brief-brief/3 {
		if time.Now().After(deadline) {
			t.Fatalf("of %d streams, a third of them ended by a fault, %d and %d are told", brief, faults, others)
		}
		f := next()
		if !f.Full {
			continue
		}
		faults, others = f.MoreFaulted, f.MoreLeft
		for _, e := range f.Ended {
			if e.Fault {
				faults++
			} else {
				others++
			}
		}
	}
}

// In a drain the picture goes on, and tells that and how the streams end, until all have.
func TestStreamsTellHowADrainEndsThem(t *testing.T) {
	s := newSite(t, nil)
	server := s.listen()
	for range 3 {
		subscribe(t, server.URL+"/sse-stream?topic=one&format=json")
	}
	watcher := subscribe(t, server.URL+"/streams")
	next := frames(t, watcher)
	if first := next(); first.Draining || len(first.Open) != 3 {
		t.Fatalf("the first frame is %+v", first)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.handler.Drain(ctx, time.Hour)
	until(t, "the drain", s.handler.Draining)
	deadline := time.Now().Add(20 * time.Second)
	for ended := 0; ended < 3; {
		f := next()
		if f.Draining {
			cancel() // which ends them at once
		}
		for _, e := range f.Ended {
			if e.Reason != "drain" || e.Fault || !f.Draining {
				t.Errorf("an end in a drain is told as %+v, draining: %v", e, f.Draining)
			}
			ended++
		}
		if time.Now().After(deadline) {
			t.Fatal("the ends are not told")
		}
	}
	for {
		if _, err := watcher.Next(); err != nil {
			break // the picture is over, too: a shutdown waits for it
		}
		if time.Now().After(deadline) {
			t.Fatal("the picture goes on without streams")
		}
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
	cutOff := worst[3] >= 4 && worst[6] == -1 // the last picture is of when its time was over
	if worst[3] < 3 || worst[1]+worst[2] != published || !cutOff && (worst[6] < 0 || worst[6] > 3) {
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
