package telemetry_test

import (
	"errors"
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
	"weir/telemetry/journey"
)

func TestEventTracesAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		sends := func() int { return len(named(r.ended(), "send ")) }
		for range 1000 {
			r.publish(`1`)
		}
		if n := sends(); n != telemetry.DefaultEventTraces {
			t.Errorf("1000 events at once made %d traces", n)
		}
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			r.publish(`1`)
		}
		if n := sends(); n < 540 || n > 560 {
			t.Errorf("another 1000 events in 10 s made it %d traces", n)
		}
		r.close()
		r.expect("sse.server.events.published", "sse.event.type=weir.event,topic=sensor", 2000)
	})
}

func TestNoEventTraces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: -1}, stream.HubOptions{})
		r.publish(`1`)
		r.close()
		if len(r.ended()) != 0 {
			t.Errorf("spans:\n%s", r.tree())
		}
	})
}

// TestPublisherDecides: a publisher's trace goes on here, and its decision
// holds, in the event or in the context.
func TestPublisherDecides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: -1}, stream.HubOptions{})
		c := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		unsampled := strings.TrimSuffix(foreign, "01") + "00"
		for _, traceparent := range []string{foreign, unsampled, "garbage", strings.Repeat("x", 100)} {
			if _, err := r.hub.Publish(t.Context(), "sensor", stream.Event{Data: []byte(`1`), Traceparent: traceparent}); err != nil {
				t.Fatal(err)
			}
		}
		remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
		if _, err := r.hub.Publish(trace.ContextWithRemoteSpanContext(t.Context(), remote), "sensor", stream.Event{Data: []byte(`1`)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.leave()
		r.close()
		sends := named(r.ended(), "send ")
		if len(sends) != 2 || sends[0].Parent().SpanID().String() != foreignParent || sends[0].SpanContext().TraceID().String() != foreignTrace ||
			sends[1].Parent().SpanID() != remote.SpanID() || sends[1].SpanContext().TraceID() != remote.TraceID() {
			t.Errorf("spans:\n%s", r.tree())
		}
		if delivers := named(r.ended(), "deliver "); len(delivers) != 2 {
			t.Errorf("%d deliver spans", len(delivers))
		}
		own := "00-" + foreignTrace + "-" + sends[0].SpanContext().SpanID().String() + "-"
		text := c.text()
		if !strings.Contains(text, `"traceparent":"`+own) || !strings.Contains(text, unsampled) || strings.Contains(text, "garbage") || strings.Contains(text, "xxx") {
			t.Errorf("the stream is\n%s", text)
		}
		r.noOrphans(sends[0].Parent().SpanID(), remote.SpanID())
	})
}

// TestRequestThatPublishes: the event's trace is the publisher's, and is linked
// to the request that carried it.
func TestRequestThatPublishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		handler := r.tel.Middleware("/publish", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			for _, tp := range []string{foreign, ""} {
				if _, err := r.hub.Publish(req.Context(), "sensor", stream.Event{Data: []byte(`1`), Traceparent: tp}); err != nil {
					t.Error(err)
				}
			}
		}))
		serve(handler, "POST", "/publish", nil)
		for range 200 { // at once: most have no span, and their events begin traces of their own
			serve(r.tel.Middleware("/publish", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				if _, err := r.hub.Publish(req.Context(), "sensor", stream.Event{Data: []byte(`1`)}); err != nil {
					t.Error(err)
				}
			})), "POST", "/publish", nil)
		}
		r.close()
		if requests, all := named(r.ended(), "POST /publish"), named(r.ended(), "send "); len(requests) != 10 || len(all) != telemetry.DefaultEventTraces+1 {
			t.Errorf("201 requests made %d spans, and their 202 events %d", len(requests), len(all))
		}
		roots := 0
		for _, s := range named(r.ended(), "send ") {
			if !s.Parent().IsValid() {
				roots++
			}
		}
		if roots != telemetry.DefaultEventTraces-10 {
			t.Errorf("%d events begin a trace", roots)
		}
		request, sends := named(r.ended(), "POST /publish")[0].SpanContext(), named(r.ended(), "send ")
		if sends[0].SpanContext().TraceID().String() != foreignTrace || len(sends[0].Links()) != 1 || sends[0].Links()[0].SpanContext.SpanID() != request.SpanID() {
			t.Errorf("spans:\n%s", r.tree())
		}
		if sends[1].Parent().SpanID() != request.SpanID() {
			t.Error("an event without a trace context is no child of the request that published it")
		}
	})
}

func TestSamplerOfTheEnvironment(t *testing.T) {
	for sampler, want := range map[string]int{"always_on": 200, "always_off": 0, "parentbased_always_on": 200} {
		t.Run(sampler, func(t *testing.T) {
			clearEnv(t)
			t.Setenv("OTEL_TRACES_SAMPLER", sampler)
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, telemetry.Options{}, stream.HubOptions{})
				c := r.connect("/sse-stream", nil, nil)
				synctest.Wait()
				for range 200 {
					r.publish(`1`)
				}
				time.Sleep(time.Hour)
				c.leave()
				r.close()
				if n := len(named(r.ended(), "send ")); n != want {
					t.Errorf("%d of 200 events are sampled, want %d", n, want)
				}
				if n := len(named(r.ended(), "stream ")); (n > 0) != (want > 0) {
					t.Errorf("%d segments", n)
				}
				if own := strings.Contains(c.text(), `"traceparent":"00-`); own != (want > 0) {
					t.Errorf("a traceparent is told: %v", own)
				}
			})
		})
	}
}

// TestAtMostEight delivers one event to 300 connections, one of them slow, some
// behind a gap.
func TestAtMostEight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{Topic: stream.TopicOptions{History: 4}})
		var clients []*client
		for i := range 300 {
			delay := time.Duration(i) * time.Millisecond
			switch {
			case i == 17:
				delay = 700 * time.Millisecond
			case i == 18:
				delay = 3 * time.Second // too late to be the slowest, but not overlooked
			case i%50 == 49: // so slow at first that the log overtakes it
				clients = append(clients, r.connect("/sse-stream", nil, func(n int) {
					if n == 1 {
						time.Sleep(2 * time.Second)
					}
				}))
				continue
			}
			clients = append(clients, r.connect("/sse-stream", nil, func(n int) {
				if n > 1 {
					time.Sleep(delay)
				}
			}))
		}
		time.Sleep(time.Second)
		r.publish(`1`, `2`, `3`, `4`)
		time.Sleep(time.Millisecond)
		r.publish(`5`, `6`)
		time.Sleep(time.Minute)
		id := r.publish(`7`)[0].String()
		time.Sleep(time.Minute)
		for _, c := range clients {
			c.leave()
		}
		r.close()
		for _, s := range named(r.ended(), "send ") {
			id := attr(s, "sse.event.id").AsString()
			if n := len(of(r, id)); n < 1 || n > 8 {
				t.Errorf("event %s has %d deliver spans", id, n)
			}
		}
		picks, took := map[string]bool{}, map[time.Duration]bool{}
		for _, s := range of(r, id) {
			picks[attr(s, "sse.delivery.pick").AsString()] = true
			took[s.EndTime().Sub(s.StartTime())] = true
		}
		// By chance the slowest may be among the random ones; it has a span.
		if !picks["first"] || !picks["slowest"] || !took[700*time.Millisecond] || !took[3*time.Second] {
			t.Errorf("the picks are %v, of %v", picks, took)
		}
		gapped := slices.DeleteFunc(named(r.ended(), "deliver "), func(s sdktrace.ReadOnlySpan) bool { return attr(s, "sse.delivery.pick").AsString() != "gapped" })
		if len(gapped) == 0 {
			t.Error("no delivery behind a gap has a span")
		}
		r.noOrphans()
		if r.value("sse.server.gaps", "reason=slow,topic=sensor") < 6 || r.value("sse.server.events.dropped", "reason=slow,topic=sensor") < 12 {
			t.Errorf("gaps %v, dropped %v", r.value("sse.server.gaps", "reason=slow,topic=sensor"), r.value("sse.server.events.dropped", "reason=slow,topic=sensor"))
		}
		var dropped int64
		for _, s := range named(r.ended(), "stream ") {
			dropped += attr(s, "sse.segment.dropped").AsInt64()
		}
		if float64(dropped) != r.value("sse.server.events.dropped", "reason=slow,topic=sensor") {
			t.Errorf("the segments tell of %d events dropped", dropped)
		}
		r.expect("sse.server.fanout.size", "topic=sensor", 7)
	})
}

// of returns the deliver spans of an event.
func of(r *rig, id string) []sdktrace.ReadOnlySpan {
	return slices.DeleteFunc(named(r.ended(), "deliver "), func(s sdktrace.ReadOnlySpan) bool { return attr(s, "sse.event.id").AsString() != id })
}

// TestBytesAreShared: every connection gets the same bytes, trace context and
// all, and an event is encoded once.
func TestBytesAreShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		encoded := 0
		r := newRig(t, telemetry.Options{}, stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
			"html": func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
				encoded++
				return "", append(append(dst, "traced "...), e.Traceparent...), nil
			},
		}})
		var clients []*client
		for range 50 {
			clients = append(clients, r.connect("/sse-stream?format=html", nil, nil))
		}
		synctest.Wait()
		r.publish(`1`)
		synctest.Wait()
		bodies := map[string]int{}
		for _, c := range clients {
			_, event, _ := strings.Cut(c.text(), "\n\n")
			bodies[event]++
			c.leave()
		}
		r.close()
		sc := named(r.ended(), "send ")[0].SpanContext()
		if encoded != 1 || len(bodies) != 1 {
			t.Errorf("encoded %d times, to %d different texts", encoded, len(bodies))
		}
		for body := range bodies {
			if !strings.Contains(body, "traced 00-"+sc.TraceID().String()+"-"+sc.SpanID().String()) {
				t.Errorf("the event is %q", body)
			}
		}
	})
}

func TestRefusedEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		if err := r.hub.EndTopic("sensor", "done"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.hub.Publish(t.Context(), "sensor", stream.Event{Data: []byte(`1`)}); !errors.Is(err, stream.ErrClosed) {
			t.Fatalf("publishing to a topic that has ended: %v", err)
		}
		r.close()
		s := named(r.ended(), "send ")
		if len(s) != 1 || s[0].Status().Code != codes.Error || attr(s[0], "error.type").AsString() != "closed" {
			t.Errorf("spans:\n%s", r.tree())
		}
		r.expect("sse.server.events.dropped", "reason=closed,topic=sensor", 1)
		r.expect("sse.server.events.published", "sse.event.type=weir.event,topic=sensor", 0)
	})
}

// slowBroker takes a while to hand an event on.
type slowBroker struct{ *stream.MemoryBroker }

func (b slowBroker) Publish(ctx ctx, topic string, p *stream.Publication) error {
	time.Sleep(2 * time.Millisecond) // until the broker has it
	return b.MemoryBroker.Publish(ctx, topic, p)
}

// TestThroughBroker publishes on one node and reads on another.
func TestThroughBroker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broker := slowBroker{&stream.MemoryBroker{}}
		a := newRig(t, telemetry.Options{Node: "a"}, stream.HubOptions{Broker: broker})
		b := newRig(t, telemetry.Options{Node: "b"}, stream.HubOptions{Broker: broker})
		synctest.Wait()
		near, far := a.connect("/sse-stream", nil, nil), b.connect("/sse-stream", nil, nil)
		time.Sleep(time.Second)
		id := a.publish(`1`)[0]
		time.Sleep(time.Second)
		near.leave()
		far.leave()
		send := named(a.ended(), "send ")
		if len(send) != 1 || send[0].EndTime().Sub(send[0].StartTime()) != 2*time.Millisecond {
			t.Fatalf("spans:\n%s", a.tree())
		}
		for _, r := range []*rig{a, b} {
			deliver := named(r.ended(), "deliver ")
			if len(deliver) != 1 || deliver[0].Parent().SpanID() != send[0].SpanContext().SpanID() || attr(deliver[0], "sse.event.id").AsString() != id.String() {
				t.Errorf("spans:\n%s", r.tree())
			}
			r.expect("sse.server.fanout.size", "topic=sensor", 1)
			j, err := r.tel.Journeys().Journey(journey.Query{TraceID: send[0].SpanContext().TraceID().String()})
			if err != nil || j.ID != id.String() || len(j.Steps) == 0 || j.Steps[len(j.Steps)-1].Kind != journey.Deliver {
				t.Errorf("the journey is %+v, %v", j, err)
			}
		}
		if len(named(b.ended(), "send ")) != 0 {
			t.Error("the reading node made a send span")
		}
		a.close()
		b.close()
		b.noOrphans(send[0].SpanContext().SpanID())
	})
}
