package telemetry_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry"
)

const (
	foreign       = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	foreignTrace  = "0af7651916cd43dd8448eb211c80319c"
	foreignParent = "b7ad6b7169203331"
)

// TestTree shows every span of a stream of forty seconds and two events.
func TestTree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{Node: "a"}, stream.HubOptions{})
		c := r.connect("http://weir.example:8080/sse-stream?topic=sensor", http.Header{"Traceparent": {foreign}, "User-Agent": {"test"}}, func(n int) {
			time.Sleep(time.Duration(n) * time.Millisecond) // the network: 1 ms for the headers, then 2, then 3
		})
		time.Sleep(10 * time.Second)
		r.publish(`{"temperature":21.2}`)
		time.Sleep(10 * time.Second)
		r.publish(`{"temperature":21.3}`)
		time.Sleep(20 * time.Second)
		c.leave()
		r.close()
		const want = `#1 GET /sse-stream [server] 0s..1ms link(sse.link=incoming b7ad6b7169203331)
    client.address=192.0.2.1
    http.request.method=GET
    http.response.status_code=200
    http.route=/sse-stream
    network.peer.address=192.0.2.1
    network.peer.port=1234
    network.protocol.version=1.1
    server.address=weir.example
    server.port=8080
    session.id=stream-1
    sse.connection.id=stream-1
    sse.stream.format=json
    sse.topic=sensor
    url.path=/sse-stream
    url.scheme=http
    user_agent.original=test
  #2 stream sensor [internal] 1ms..15.001s
      client.address=192.0.2.1
      session.id=stream-1
      sse.connection.id=stream-1
      sse.segment.blocked=0.003
      sse.segment.bytes=BYTES
      sse.segment.delivered=1
      sse.segment.dropped=0
      sse.segment.gaps=0
      sse.segment.lag=0
      sse.segment.last=false
      sse.segment.latency.max=0.002
      sse.segment.number=1
      sse.topic=sensor
      user_agent.original=test
  #6 stream sensor [internal] 15.001s..30.001s link(sse.link=previous #2)
      client.address=192.0.2.1
      session.id=stream-1
      sse.connection.id=stream-1
      sse.segment.blocked=0.003
      sse.segment.bytes=BYTES
      sse.segment.delivered=1
      sse.segment.dropped=0
      sse.segment.gaps=0
      sse.segment.lag=0
      sse.segment.last=false
      sse.segment.latency.max=0.003
      sse.segment.number=2
      sse.topic=sensor
      user_agent.original=test
  #10 stream sensor [internal] 30.001s..40s link(sse.link=previous #6)
      client.address=192.0.2.1
      session.id=stream-1
      sse.close.reason=client
      sse.connection.id=stream-1
      sse.segment.blocked=0
      sse.segment.bytes=BYTES
      sse.segment.delivered=0
      sse.segment.dropped=0
      sse.segment.gaps=0
      sse.segment.lag=0
      sse.segment.last=true
      sse.segment.latency.max=0
      sse.segment.number=3
      sse.topic=sensor
      user_agent.original=test
#3 event sensor [internal] 10s..10.002s
    sse.event.id=946684810000-0
    sse.event.type=weir.event
    sse.node=a
    sse.topic=sensor
  #4 send sensor [producer] 10s..10s
      messaging.destination.name=sensor
      messaging.message.body.size=20
      messaging.operation.name=send
      messaging.operation.type=send
      messaging.system=weir
      sse.event.id=946684810000-0
      sse.topic=sensor
  #5 deliver sensor [internal] 10s..10.002s link(sse.link=stream #1)
      session.id=stream-1
      sse.connection.id=stream-1
      sse.delivery.batch_size=1
      sse.delivery.kind=live
      sse.delivery.pick=first
      sse.delivery.wait=0
      sse.event.id=946684810000-0
      sse.topic=sensor
#7 event sensor [internal] 20s..20.003s
    sse.event.id=946684820000-0
    sse.event.type=weir.event
    sse.node=a
    sse.topic=sensor
  #8 send sensor [producer] 20s..20s
      messaging.destination.name=sensor
      messaging.message.body.size=20
      messaging.operation.name=send
      messaging.operation.type=send
      messaging.system=weir
      sse.event.id=946684820000-0
      sse.topic=sensor
  #9 deliver sensor [internal] 20s..20.003s link(sse.link=stream #1)
      session.id=stream-1
      sse.connection.id=stream-1
      sse.delivery.batch_size=1
      sse.delivery.kind=live
      sse.delivery.pick=first
      sse.delivery.wait=0
      sse.event.id=946684820000-0
      sse.topic=sensor
`
		got := r.tree()
		var bytes int64
		for _, s := range named(r.ended(), "stream ") {
			n := attr(s, "sse.segment.bytes").AsInt64()
			bytes += n
			got = strings.Replace(got, fmt.Sprintf("sse.segment.bytes=%d\n", n), "sse.segment.bytes=BYTES\n", 1)
		}
		if got != want {
			t.Errorf("spans:\n%s\nwant:\n%s", got, want)
		}
		if bytes != int64(len(c.text())) {
			t.Errorf("the segments tell of %d bytes, of %d", bytes, len(c.text()))
		}
		r.noOrphans()
	})
}

// chain checks that the segments of one stream follow each other without a
// hole, each linked to the one before, and returns them.
func (r *rig) chain() []sdktrace.ReadOnlySpan {
	r.t.Helper()
	establish := named(r.ended(), "GET /sse-stream")[0]
	segments := named(r.ended(), "stream ")
	at, previous := establish.EndTime(), trace.SpanContext{}
	for i, s := range segments {
		if !s.StartTime().Equal(at) {
			r.t.Fatalf("segment %d begins at %v, not at %v", i+1, s.StartTime(), at)
		}
		at = s.EndTime()
		if n := attr(s, "sse.segment.number").AsInt64(); n != int64(i+1) {
			r.t.Fatalf("segment %d has the number %d", i+1, n)
		}
		if previous.IsValid() && (len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != previous.SpanID()) {
			r.t.Fatalf("segment %d is not linked to the one before", i+1)
		}
		previous = s.SpanContext()
	}
	return segments
}

func TestRefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{RejectReasons: []string{"max_conns"}}, stream.HubOptions{})
		for _, target := range []string{"/sse-stream?topic=none", "/sse-stream?topic=sensor&format=none"} {
			r.connect(target, nil, nil).wait()
		}
		r.handler.Subscribe = func(*http.Request) (*stream.Subscription, error) {
			return nil, &stream.Refusal{Status: http.StatusServiceUnavailable, Reason: "max_conns", Detail: "full"}
		}
		r.connect("/sse-stream?topic=sensor", nil, nil).wait()
		r.handler.Subscribe = func(*http.Request) (*stream.Subscription, error) {
			return nil, &stream.Refusal{Status: http.StatusForbidden, Reason: "visitor 4711", Detail: "no"}
		}
		for range 300 { // a flood
			r.connect("/sse-stream?topic=sensor", nil, nil).wait()
		}
		r.close()
		spans := r.ended()
		if len(spans) < 10 || len(spans) > 60 {
			t.Errorf("303 refusals made %d spans", len(spans))
		}
		for i, want := range []struct {
			status int64
			reason string
			code   codes.Code
		}{{404, "topic", codes.Unset}, {400, "format", codes.Unset}, {503, "max_conns", codes.Error}} {
			s := spans[i]
			if topic := attr(s, "sse.topic").AsString(); topic != []string{"none", "sensor", "sensor"}[i] {
				t.Errorf("span %d says that the topic is %q", i, topic)
			}
			if s.Name() != "GET /sse-stream" || attr(s, "http.response.status_code").AsInt64() != want.status ||
				attr(s, "sse.reject.reason").AsString() != want.reason || s.Status().Code != want.code {
				t.Errorf("span %d is %s %v %v, want %v", i, s.Name(), s.Attributes(), s.Status(), want)
			}
		}
		r.expect("sse.server.rejected_connections", "sse.reject.reason=topic,sse.topic=_OTHER", 1)
		r.expect("sse.server.rejected_connections", "sse.reject.reason=format,sse.topic=sensor", 1)
		r.expect("sse.server.rejected_connections", "sse.reject.reason=max_conns,sse.topic=sensor", 1)
		r.expect("sse.server.rejected_connections", "sse.reject.reason=_OTHER,sse.topic=sensor", 300)
		r.expect("http.server.request.duration", "error.type=503,http.request.method=GET,http.response.status_code=503,http.route=/sse-stream,network.protocol.version=1.1,url.scheme=http", 1)
	})
}

// TestRefusalWithoutAnAnswer: who is closed on in a drain was not served.
func TestRefusalWithoutAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		if err := r.handler.Drain(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c := r.connect("/sse-stream", http.Header{"Accept": {"text/event-stream"}}, nil)
		c.wait()
		if c.panic != nil || c.status != 0 || c.writes != 0 {
			t.Errorf("status %d, %d writes, panic %v", c.status, c.writes, c.panic)
		}
		r.close()
		r.expect("http.server.request.duration", "error.type=503,http.request.method=GET,http.response.status_code=503,http.route=/sse-stream,network.protocol.version=1.1,url.scheme=http", 1)
	})
}

// TestStreamIsNoLongRequest holds the request histogram to the first flush.
func TestStreamIsNoLongRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, func(int) { time.Sleep(3 * time.Millisecond) })
		time.Sleep(time.Hour)
		c.leave()
		r.close()
		var max float64
		for s := range sums(t, r.collect()["http.server.request.duration"]) {
			max += s
		}
		if max != 0.003 {
			t.Errorf("http.server.request.duration got %v s", max)
		}
		max = 0
		for s := range sums(t, r.collect()["sse.server.connection.duration"]) {
			max += s
		}
		if max != 3600 {
			t.Errorf("sse.server.connection.duration got %v s", max)
		}
	})
}

// TestReconnect is a client that comes back with the trace context of its last
// stream.
func TestReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		first := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		ids := r.publish(`1`, `2`, `3`)
		synctest.Wait()
		first.leave()
		_, after, _ := strings.Cut(first.text(), `"traceparent":"`)
		own, _, _ := strings.Cut(after, `"`)
		second := r.connect("/sse-stream", http.Header{"Traceparent": {own}, "Last-Event-Id": {ids[0].String()}}, nil)
		synctest.Wait()
		r.expect("sse.server.replay.size", "sse.topic=sensor", 1) // it need not wait for the next event
		r.publish(`4`)
		synctest.Wait()
		second.leave()
		r.close()
		streams := named(r.ended(), "GET /sse-stream")
		if len(streams) != 2 || len(streams[1].Links()) != 1 || streams[1].Links()[0].SpanContext.SpanID() != streams[0].SpanContext().SpanID() {
			t.Errorf("spans:\n%s", r.tree())
		}
		if streams[0].SpanContext().TraceID() == streams[1].SpanContext().TraceID() {
			t.Error("the client's trace context became the parent")
		}
		if from := attr(streams[1], "sse.stream.resumed_from").AsString(); from != ids[0].String() {
			t.Errorf("sse.stream.resumed_from = %q", from)
		}
		r.expect("sse.server.events.delivered", "sse.delivery.kind=live,sse.topic=sensor", 4)
		r.expect("sse.server.events.delivered", "sse.delivery.kind=replay,sse.topic=sensor", 2)
		r.expect("sse.server.delivery.duration", "sse.topic=sensor", 4)
		r.expect("sse.server.replay.size", "sse.topic=sensor", 1)
		for s := range sums(t, r.collect()["sse.server.replay.size"]) {
			if s != 2 {
				t.Errorf("sse.server.replay.size got %v", s)
			}
		}
	})
}

// TestUntrusted sends trace contexts that a client must not get its way with.
func TestUntrusted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		for _, header := range []string{"00-" + foreignTrace + "-" + foreignParent + "-00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "garbage", strings.Repeat("0", 4000), "\x00"} {
			c := r.connect("/sse-stream", http.Header{"Traceparent": {header}}, nil)
			synctest.Wait()
			c.leave()
		}
		r.close()
		streams := named(r.ended(), "GET /sse-stream")
		if len(streams) != 5 {
			t.Fatalf("%d streams are sampled, of 5", len(streams))
		}
		for i, s := range streams {
			if s.Parent().IsValid() || s.SpanContext().TraceID().String() == foreignTrace {
				t.Errorf("stream %d has a parent", i)
			}
			if links := len(s.Links()); links != 0 && i > 0 {
				t.Errorf("stream %d has %d links", i, links)
			}
		}
	})
}

func TestShutdownFlushesTheSlowest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		for i := range 20 {
			r.connect("/sse-stream", nil, func(int) { time.Sleep(time.Duration(i) * time.Millisecond) })
		}
		time.Sleep(time.Second)
		r.publish(`1`)
		time.Sleep(100 * time.Millisecond)
		if err := r.handler.Drain(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		r.close()
		var picks []string
		for _, s := range named(r.ended(), "deliver ") {
			picks = append(picks, attr(s, "sse.delivery.pick").AsString())
		}
		if len(picks) < 2 || len(picks) > 8 || !slices.Contains(picks, "first") {
			t.Errorf("picks are %v", picks)
		}
		slowest := slices.MaxFunc(named(r.ended(), "deliver "), func(a, b sdktrace.ReadOnlySpan) int { return a.EndTime().Compare(b.EndTime()) })
		if d := slowest.EndTime().Sub(slowest.StartTime()); d != 19*time.Millisecond {
			t.Errorf("the slowest delivery with a span took %v", d)
		}
	})
}
