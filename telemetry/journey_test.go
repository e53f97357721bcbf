package telemetry_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/streamtest"
	"weir/telemetry"
	"weir/telemetry/journey"
)

// TestJourney has a broker, two clients and a browser.
func TestJourney(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{Node: "a"}, stream.HubOptions{Broker: slowBroker{&streamtest.MemoryBroker{}}, Topic: stream.TopicOptions{Pace: 0}})
		synctest.Wait()
		c := r.connect("/sse-stream", nil, func(n int) {
			if n > 1 {
				time.Sleep(4 * time.Millisecond)
			}
		})
		synctest.Wait()
		mine := r.handler.Conns()[0].ID
		other := r.connect("/sse-stream", nil, nil)
		time.Sleep(time.Second)
		id := r.publish(`1`)[0]
		time.Sleep(10 * time.Millisecond)
		send := named(r.ended(), "send ")[0]
		page := c.page(r)
		now := time.Now()
		time.Sleep(time.Millisecond)
		page.send(page.reported(send, now.Add(-3*time.Millisecond), now))
		time.Sleep(2 * time.Second)
		j, err := r.tel.Journeys().Journey(journey.Query{TraceID: send.SpanContext().TraceID().String(), EventID: id.String(), Connection: mine})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, s := range j.Steps {
			got += fmt.Sprintf("%s %s %v+%v %v\n", s.Kind, s.Node, s.Start.Sub(j.Start).Round(time.Microsecond), s.Duration.Round(time.Microsecond), s.Gap)
		}
		const want = "send a 0s+2ms false\n" +
			"broker  0s+2ms true\n" +
			"receive a 2ms+0s false\n" +
			"deliver a 2ms+4ms false\n" +
			"network  6ms+3ms true\n" +
			"process  9ms+3ms false\n"
		if got != want || j.ID != id.String() || !j.Own || j.Topic != "sensor" || j.Total.Round(time.Microsecond) != 12*time.Millisecond {
			t.Errorf("the journey is %v\n%s, want\n%s", j.Total, got, want)
		}
		c.leave()
		other.leave()
		r.close()
	})
}

// TestBrokerStep has a broker that takes its time to hand an event on.
func TestBrokerStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broker := &lateBroker{streamtest.MemoryBroker{}}
		r := newRig(t, telemetry.Options{}, stream.HubOptions{Broker: broker})
		synctest.Wait()
		c := r.connect("/sse-stream", nil, nil)
		time.Sleep(time.Second)
		r.publish(`1`)
		time.Sleep(time.Second)
		j, err := r.tel.Journeys().Journey(journey.Query{TraceID: named(r.ended(), "send ")[0].SpanContext().TraceID().String()})
		if err != nil || len(j.Steps) != 4 || j.Steps[1].Kind != journey.Broker || j.Steps[1].Duration != 5*time.Millisecond || !j.Steps[1].Gap {
			t.Errorf("the journey is %+v, %v", j, err)
		}
		c.leave()
		r.close()
	})
}

// A lateBroker hands events on after 5 ms.
type lateBroker struct{ streamtest.MemoryBroker }

func (b *lateBroker) Publish(ctx ctx, topic string, p *stream.Publication) error {
	copies := make([]*stream.Event, len(p.Events))
	for i, e := range p.Events {
		e.ID = eventlog.IDAt(time.Now())
		own := *e
		copies[i] = &own
	}
	go func() {
		time.Sleep(5 * time.Millisecond)
		_ = b.MemoryBroker.Publish(ctx, topic, &stream.Publication{Events: copies})
	}()
	return nil
}

// TestNoJourney tells an event that was not sampled from one that is no longer
// held.
func TestNoJourney(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		r.tel.LimitJourneys(100, 1<<20)
		var ids []trace.TraceID
		var events []string
		for range 300 {
			r.publish(`1`)
			time.Sleep(20 * time.Millisecond)
		}
		for _, s := range named(r.ended(), "send ") {
			ids = append(ids, s.SpanContext().TraceID())
			events = append(events, attr(s, "sse.event.id").AsString())
		}
		for i, id := range ids {
			var want error
			if i < len(ids)-100 {
				want = journey.ErrEvicted
			}
			if _, err := r.tel.Journeys().Journey(journey.Query{TraceID: id.String(), EventID: events[i]}); !errors.Is(err, want) {
				t.Errorf("trace %d of %d: %v, want %v", i, len(ids), err, want)
			}
		}
		for id, want := range map[string]error{
			foreignTrace:    journey.ErrNotHeld,
			"xyz":           journey.ErrBadTraceID,
			"":              journey.ErrBadTraceID,
			ids[0].String(): journey.ErrNotHeld,
		} {
			if _, err := r.tel.Journeys().Journey(journey.Query{TraceID: id}); !errors.Is(err, want) {
				t.Errorf("trace %q: %v, want %v", id, err, want)
			}
		}
		last := ids[len(ids)-1].String()
		if _, err := r.tel.Journeys().Journey(journey.Query{TraceID: last, EventID: "1-1"}); !errors.Is(err, journey.ErrNotHeld) {
			t.Errorf("another event of the trace: %v", err)
		}
		r.close()
	})
}

// TestRecentTracesAreBounded, by number and by bytes, also when one publisher
// puts everything into one trace.
func TestRecentTracesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: 1e6}, stream.HubOptions{})
		r.tel.LimitJourneys(1000, 200<<10)
		c := r.connect("/sse-stream", nil, nil)
		for i := range 5000 {
			e := stream.Event{Data: []byte(`1`)}
			if i%2 == 0 {
				e.Traceparent = foreign
			}
			if _, err := r.hub.Publish(t.Context(), "sensor", e); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if traces, bytes, _ := r.tel.Journeys().Held(); traces > 1000 || bytes > 200<<10 || bytes < 0 {
				t.Fatalf("after %d events %d traces of %d bytes are held", i, traces, bytes)
			}
		}
		if traces, _, _ := r.tel.Journeys().Held(); traces < 100 {
			t.Errorf("only %d traces are held", traces)
		}
		c.leave()
		r.close()
	})
}

// TestJourneyToALateReader has a reader that gets the event long after the event's span
// has ended: the list tells of it with the event, once.
func TestJourneyToALateReader(t *testing.T) {
	for name, delay := range map[string]time.Duration{"while the event is open": 700 * time.Millisecond, "later": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, telemetry.Options{}, stream.HubOptions{})
				prompt := r.connect("/sse-stream", nil, nil)
				slow := r.connect("/sse-stream", nil, func(n int) {
					if n > 1 {
						time.Sleep(delay)
					}
				})
				synctest.Wait()
				id := r.publish(`1`)[0].String()
				time.Sleep(time.Minute)
				list := r.tel.Journeys().Slowest(journey.ListQuery{})
				if len(list) != 1 || list[0].ID != id || list[0].Total != delay || list[0].Readers != 2 || list[0].Last != journey.Deliver {
					t.Errorf("the list is %+v", list)
				}
				prompt.leave()
				slow.leave()
				r.close()
			})
		})
	}
}
