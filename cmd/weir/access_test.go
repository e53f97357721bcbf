package main

import (
	"testing"
	"time"

	"weir/stream"
	"weir/web/limits"
)

// What the flags about rights and limits say reaches the part that it is for.
func TestAccessFlagsReachTheirPart(t *testing.T) {
	parsed := func(args ...string) *config {
		t.Helper()
		c, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := parsed()
	inAll, perClient := limits.DefaultSockets(limits.OpenFiles(), c.limits.Limits)
	if inAll < 8 || perClient < 4 || c.limits.Sockets != inAll || c.limits.SocketsPerClient != perClient || c.limits.Requests != 256 || c.limits.RequestsPerClient != 64 {
		t.Errorf("by default %+v, want %d and %d sockets", c.limits, inAll, perClient)
	}
	if c.rights.TicketLife != time.Hour || c.play || c.onDemand() != nil {
		t.Errorf("by default %+v", c)
	}
	c = parsed("-max-sockets", "7", "-max-sockets-per-client", "5", "-max-requests", "3", "-max-requests-per-client", "2", "-ticket-life", "5m",
		"-jwt-keys", "k.pem", "-jwt-audience", "us", "-token-file", "t", "-host", "A.test", "-host", "b.test")
	if l := c.limits; l.Sockets != 7 || l.SocketsPerClient != 5 || l.Requests != 3 || l.RequestsPerClient != 2 {
		t.Errorf("%+v", l)
	}
	if r := c.rights; r.TicketLife != 5*time.Minute || r.Keys != "k.pem" || r.Audience != "us" || r.TokenFile != "t" {
		t.Errorf("%+v", r)
	}
	if len(c.hosts) != 2 || c.hosts[0] != "a.test" || c.hosts[1] != "b.test" {
		t.Errorf("%q", c.hosts)
	}
	if c := parsed("-max-sockets", "0", "-max-sockets-per-client", "0"); c.limits.Sockets != 0 || c.limits.SocketsPerClient != 0 {
		t.Errorf("0 turns a limit off: %+v", c.limits)
	}
}

func TestDemandFlags(t *testing.T) {
	c, err := parse(t, "-topics", "run.*,ttl=1m,max=5,history=7,bytes=2048", "-topics", "demo")
	if err != nil {
		t.Fatal(err)
	}
	want := stream.TopicOptions{Label: "run.*", IdleTTL: time.Minute, Max: 5, History: 7, Bytes: 2048}
	if got, ok := c.onDemand()("run.1"); !ok || got != want {
		t.Errorf("%+v %v", got, ok)
	}
	if got, ok := c.onDemand()("demo"); !ok || got.Label != "demo" || got.IdleTTL != time.Hour || got.Max != 100_000 {
		t.Errorf("%+v %v", got, ok)
	}
	for _, topic := range []string{"run", "run.", "runs.1", "other"} {
		if _, ok := c.onDemand()(topic); ok {
			t.Errorf("%s may be made", topic)
		}
	}
	play, err := parse(t, "-play")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := play.onDemand()("anything"); !ok || got.Label != "*" || got.Max == 0 || got.IdleTTL == 0 {
		t.Errorf("%+v %v", got, ok)
	}
	for _, args := range [][]string{
		{"-play", "-addr", ":8080"}, {"-play", "-addr", "0.0.0.0:1"}, {"-play", "-addr", "192.0.2.1:1"}, {"-play", "-publish-token", "x"}, {"-play", "-subscribe-token", "x"},
		{"-play", "-token-file", "x"}, {"-play", "-jwt-keys", "x"}, {"-play", "-cors-origin", "*"}, {"-play", "-host", "a.test"}, {"-play", "-trusted-proxy", "10.0.0.0/8"},
	} {
		_, err := parse(t, args...)
		refused(t, err, "-play")
	}
}
