package telemetry_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/telemetry"
)

func TestSegmentAges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, nil)
		for range 3600 {
			time.Sleep(time.Second)
			r.publish(`1`)
		}
		time.Sleep(time.Second / 2)
		c.leave()
		r.close()
		var ages []time.Duration
		var delivered int64
		segments := r.chain()
		for _, s := range segments {
			ages = append(ages, s.EndTime().Sub(r.began))
			delivered += attr(s, "sse.segment.delivered").AsInt64()
		}
		want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute}
		for m := 5; m <= 60; m += 5 {
			want = append(want, time.Duration(m)*time.Minute)
		}
		want = append(want, time.Hour+time.Second/2)
		if !slices.Equal(ages, want) {
			t.Errorf("segments end at %v, want %v", ages, want)
		}
		if delivered != 3600 {
			t.Errorf("the segments tell of %d events, not 3600", delivered)
		}
		last := segments[len(segments)-1]
		if reason := attr(last, "sse.close.reason").AsString(); reason != "client" {
			t.Errorf("the last segment's sse.close.reason is %q", reason)
		}
		if attr(segments[0], "sse.close.reason").AsString() != "" {
			t.Error("the first segment has an sse.close.reason")
		}
	})
}

func TestDayLongStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, nil)
		time.Sleep(24*time.Hour - time.Second)
		if n := r.tel.StreamSegments(r.handler.Conns()[0].ID); n != 3+12*24-1 {
			t.Errorf("StreamSegments = %d", n)
		}
		c.leave()
		r.close()
		r.noOrphans()
		segments := r.chain()
		if len(segments) != 3+12*24 {
			t.Errorf("%d segments", len(segments))
		}
		traces := map[trace.TraceID]int{}
		for _, s := range segments {
			id := s.SpanContext().TraceID()
			if traces[id]++; s.EndTime().Sub(s.StartTime()) > 5*time.Minute {
				t.Errorf("a segment of %v", s.EndTime().Sub(s.StartTime()))
			}
			hour := int(s.StartTime().Sub(r.began) / time.Hour)
			if hour+1 != len(traces) {
				t.Fatalf("at %v the stream is in its trace %d", s.StartTime().Sub(r.began), len(traces))
			}
			if root := !s.Parent().IsValid(); root != (hour > 0 && traces[id] == 1) {
				t.Errorf("root = %v at %v", root, s.StartTime().Sub(r.began))
			}
		}
		if len(traces) != 24 {
			t.Errorf("%d traces in a day", len(traces))
		}
	})
}

// TestCrash looks at what has been exported when the process dies.
func TestCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, nil)
		for _, at := range []time.Duration{14 * time.Second, 16 * time.Second, 59 * time.Second, 299 * time.Second, time.Hour - time.Second, 90*time.Minute - time.Second} {
			time.Sleep(at - time.Since(r.began))
			synctest.Wait()
			r.noOrphans()
			end := named(r.ended(), "GET /sse-stream")[0].EndTime()
			if segments := r.chain(); len(segments) > 0 {
				end = segments[len(segments)-1].EndTime()
			}
			if lost := time.Since(end); lost >= 5*time.Minute {
				t.Errorf("a crash after %v loses the last %v", at, lost)
			}
		}
		c.leave()
		r.close()
	})
}

func TestPanic(t *testing.T) {
	for _, at := range []int{1, 2} {
		t.Run(fmt.Sprint("write ", at), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, telemetry.Options{}, stream.HubOptions{})
				c := r.connect("/sse-stream", nil, func(n int) {
					if n == at {
						panic("broken writer")
					}
				})
				time.Sleep(time.Second)
				r.publish(`1`)
				c.wait()
				if c.panic != "broken writer" {
					t.Errorf("the panic became %v", c.panic)
				}
				r.close()
				r.noOrphans()
				want := "GET /sse-stream"
				if at == 2 {
					want = "stream sensor"
				}
				s := named(r.ended(), want)
				if len(s) != 1 || s[0].Status().Code != codes.Error || !strings.Contains(s[0].Status().Description, "broken writer") ||
					attr(s[0], "sse.close.reason").AsString() != "panic" {
					t.Errorf("spans:\n%s", r.tree())
				}
				r.expect("sse.server.connection.duration", "error.type=panic,sse.close.reason=panic,sse.topic=sensor", 1)
				r.expect("sse.server.active_connections", "network.protocol.version=1.1,sse.topic=sensor", 0)
			})
		})
	}
}

// TestNoOrphans makes every kind of span there is, some streams at a time.
func TestNoOrphans(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{Topic: stream.TopicOptions{History: 8}})
		var clients []*client
		for i := range 30 {
			delay := time.Duration(i*i) * 10 * time.Millisecond
			clients = append(clients, r.connect("/sse-stream", http.Header{"Traceparent": {foreign}}, func(int) { time.Sleep(delay) }))
		}
		clients = append(clients, r.connect("/sse-stream?topic=none", nil, nil))
		remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true})
		for i := range 400 {
			ctx := t.Context()
			if i%7 == 0 {
				ctx = trace.ContextWithRemoteSpanContext(ctx, remote)
			}
			if _, err := r.hub.Publish(ctx, "sensor", stream.Event{Data: []byte(`1`)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i%50) * 10 * time.Millisecond)
			if i%100 == 99 {
				clients[i/100].leave()
				clients = append(clients, r.connect("/sse-stream?last_event_id=1-0", nil, nil))
			}
		}
		for _, c := range clients {
			c.leave()
		}
		r.close()
		r.noOrphans(remote.SpanID())
		for _, name := range []string{"GET /sse-stream", "stream sensor", "send sensor", "deliver sensor"} {
			if len(named(r.ended(), name)) == 0 {
				t.Errorf("no span %s", name)
			}
		}
	})
}
