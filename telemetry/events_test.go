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
	"weir/stream/streamtest"
	"weir/telemetry"
	"weir/telemetry/journey"
)

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
		events := named(r.ended(), "event ")
		if len(events) != 2 || events[0].Parent().SpanID().String() != foreignParent || events[0].SpanContext().TraceID().String() != foreignTrace ||
			events[1].Parent().SpanID() != remote.SpanID() || events[1].SpanContext().TraceID() != remote.TraceID() {
			t.Errorf("spans:\n%s", r.tree())
		}
		if delivers := named(r.ended(), "deliver "); len(delivers) != 2 {
			t.Errorf("%d deliver spans", len(delivers))
		}
		own := "00-" + foreignTrace + "-" + events[0].SpanContext().SpanID().String() + "-"
		text := c.text()
		if !strings.Contains(text, `"traceparent":"`+own) || !strings.Contains(text, unsampled) || strings.Contains(text, "garbage") || strings.Contains(text, "xxx") {
			t.Errorf("the stream is\n%s", text)
		}
		r.noOrphans(events[0].Parent().SpanID(), remote.SpanID())
	})
}

// TestRequestThatPublishes: a request by somebody with a right to publish, and its
// event, belong to the publisher's trace, whichever way the headers tell of it.
func TestRequestThatPublishes(t *testing.T) {
	for propagators, header := range map[string]http.Header{
		"":   {"Traceparent": {foreign}, "Tracestate": {"vendor=1"}, "Baggage": {"tenant=blue"}},
		"b3": {"B3": {foreignTrace + "-" + foreignParent + "-1"}},
	} {
		clearEnv(t)
		t.Setenv("OTEL_PROPAGATORS", propagators)
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, telemetry.Options{EventTraces: -1}, stream.HubOptions{})
			c := r.connect("/sse-stream", nil, nil)
			synctest.Wait()
			serve(r.publisher(true), "POST", "/publish", header)
			synctest.Wait()
			c.leave()
			r.close()
			request, event := named(r.ended(), "POST /publish")[0], named(r.ended(), "event ")[0]
			if request.Parent().SpanID().String() != foreignParent || request.SpanContext().TraceID().String() != foreignTrace || event.Parent().SpanID() != request.SpanContext().SpanID() {
				t.Errorf("%q: spans:\n%s", propagators, r.tree())
			}
			if propagators == "" {
				if event.SpanContext().TraceState().Get("vendor") != "1" || attr(event, "baggage.tenant").AsString() != "blue" || !strings.Contains(c.text(), `"tracestate":"vendor=1"`) {
					t.Errorf("tracestate or baggage is lost: %v\n%s", event.Attributes(), c.text())
				}
			}
			r.noOrphans(request.Parent().SpanID())
		})
	}
}

// publisher is a route whose requests publish one event. Whoever asks may have
// shown a right to publish.
func (r *rig) publisher(trusted bool) http.Handler {
	return r.tel.Middleware("/publish", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := req.Context()
		if trusted {
			ctx = r.tel.Publisher(req)
		}
		if _, err := r.hub.Publish(ctx, "sensor", stream.Event{Data: []byte(`1`), Traceparent: req.Header.Get("X-Event")}); err != nil {
			r.t.Error(err)
		}
	}))
}

// TestUntrustedPublisher: without a right to show, a trace context is a link, and
// the limits hold.
func TestUntrustedPublisher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		for range 200 { // at once: most requests have no span, and their events begin traces of their own
			serve(r.publisher(false), "POST", "/publish", http.Header{"Traceparent": {foreign}, "X-Event": {foreign}})
		}
		r.close()
		requests, events := named(r.ended(), "POST /publish"), named(r.ended(), "event ")
		if len(requests) != 10 || len(events) != telemetry.DefaultEventTraces {
			t.Errorf("200 requests made %d spans, and their events %d", len(requests), len(events))
		}
		roots := 0
		for _, s := range append(requests, events...) {
			if s.SpanContext().TraceID().String() == foreignTrace || len(s.Links()) != 1 || s.Links()[0].SpanContext.TraceID().String() != foreignTrace {
				t.Fatalf("%s is in the trace that was sent, or has no link to it", s.Name())
			}
			if !s.Parent().IsValid() {
				roots++
			}
		}
		if roots != telemetry.DefaultEventTraces {
			t.Errorf("%d traces began", roots)
		}
		r.noOrphans()
	})
}

// TestEventsOwnContext: the trace context of the event itself wins over that of
// the request that carries it, which is linked.
func TestEventsOwnContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		serve(r.publisher(true), "POST", "/publish", http.Header{"X-Event": {foreign}})
		r.close()
		request, event := named(r.ended(), "POST /publish")[0], named(r.ended(), "event ")[0]
		if event.Parent().SpanID().String() != foreignParent || len(event.Links()) != 1 || event.Links()[0].SpanContext.SpanID() != request.SpanContext().SpanID() {
			t.Errorf("spans:\n%s", r.tree())
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
				if own := strings.Contains(c.text(), `-01","session"`); own != (want > 0) {
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
		if r.value("sse.server.gaps", "sse.gap.reason=slow,sse.topic=sensor") < 6 || r.value("sse.server.events.dropped", "sse.drop.reason=slow,sse.topic=sensor") < 12 {
			t.Errorf("gaps %v, dropped %v", r.value("sse.server.gaps", "sse.gap.reason=slow,sse.topic=sensor"), r.value("sse.server.events.dropped", "sse.drop.reason=slow,sse.topic=sensor"))
		}
		var dropped int64
		for _, s := range named(r.ended(), "stream ") {
			dropped += attr(s, "sse.segment.dropped").AsInt64()
		}
		if float64(dropped) != r.value("sse.server.events.dropped", "sse.drop.reason=slow,sse.topic=sensor") {
			t.Errorf("the segments tell of %d events dropped", dropped)
		}
		r.expect("sse.server.fanout.size", "sse.topic=sensor", 7)
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
		sc := named(r.ended(), "event ")[0].SpanContext()
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
		r.expect("sse.server.events.dropped", "sse.drop.reason=closed,sse.topic=sensor", 1)
		r.expect("sse.server.events.published", "sse.event.type=weir.event,sse.topic=sensor", 0)
	})
}

// slowBroker takes a while to hand an event on.
type slowBroker struct{ *streamtest.MemoryBroker }

func (b slowBroker) Publish(ctx ctx, topic string, p *stream.Publication) error {
	time.Sleep(2 * time.Millisecond) // until the broker has it
	return b.MemoryBroker.Publish(ctx, topic, p)
}

// TestThroughBroker publishes on one node and reads on another.
func TestThroughBroker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broker := slowBroker{&streamtest.MemoryBroker{}}
		a := newRig(t, telemetry.Options{Node: "a"}, stream.HubOptions{Broker: broker})
		b := newRig(t, telemetry.Options{Node: "b"}, stream.HubOptions{Broker: broker})
		synctest.Wait()
		near, far := a.connect("/sse-stream", nil, nil), b.connect("/sse-stream", nil, nil)
		time.Sleep(time.Second)
		id := a.publish(`1`)[0]
		time.Sleep(5 * time.Second)
		near.leave()
		far.leave()
		send := named(a.ended(), "send ")
		if len(send) != 1 || send[0].EndTime().Sub(send[0].StartTime()) != 2*time.Millisecond {
			t.Fatalf("spans:\n%s", a.tree())
		}
		created := named(a.ended(), "event ")[0]
		for _, r := range []*rig{a, b} {
			event, receive, deliver := named(r.ended(), "event "), named(r.ended(), "receive "), named(r.ended(), "deliver ")
			if len(event) != 1 || len(receive) != 1 || len(deliver) != 1 || attr(deliver[0], "sse.event.id").AsString() != id.String() {
				t.Fatalf("spans:\n%s", r.tree())
			}
			for _, s := range append(receive, deliver...) {
				if s.Parent().SpanID() != event[0].SpanContext().SpanID() || s.StartTime().Before(event[0].StartTime()) || s.EndTime().After(event[0].EndTime()) {
					t.Errorf("%s is not within its event:\n%s", s.Name(), r.tree())
				}
			}
			if event[0].SpanContext().TraceID() != created.SpanContext().TraceID() || !event[0].StartTime().Equal(created.StartTime()) || attr(event[0], "sse.node").AsString() != "a" {
				t.Errorf("the event of one node is not in the trace of the other:\n%s", r.tree())
			}
			r.expect("sse.server.fanout.size", "sse.topic=sensor", 1)
			j, err := r.tel.Journeys().Journey(journey.Query{TraceID: created.SpanContext().TraceID().String()})
			var steps string
			for _, s := range j.Steps {
				if s.Kind != journey.Send {
					steps += string(s.Kind) + " "
				}
			}
			if err != nil || j.ID != id.String() || steps != "broker receive deliver " || j.Node != "a" {
				t.Errorf("the journey is %+v, %v", j, err)
			}
		}
		if len(named(b.ended(), "send ")) != 0 {
			t.Error("the reading node made a send span")
		}
		a.close()
		b.close()
		b.noOrphans(created.SpanContext().SpanID())
	})
}
