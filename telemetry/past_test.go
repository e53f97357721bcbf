package telemetry_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"weir/stream"
	"weir/stream/streamtest"
	"weir/telemetry"
	"weir/telemetry/journey"
)

// TestReplayOnABusyPage has a page that reports a replayed event when it has had so many
// others that nobody remembers the delivery: it is a replay nevertheless.
func TestReplayOnABusyPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{EventTraces: 1e6}, stream.HubOptions{})
		there := r.connect("/sse-stream", nil, nil)
		synctest.Wait()
		r.publish(`1`)
		synctest.Wait()
		send := named(r.ended(), "send ")[0]
		time.Sleep(30 * time.Second)
		page := r.connect("/sse-stream", http.Header{"Last-Event-Id": {"1-0"}, "Sec-Fetch-Site": {"same-origin"}}, nil)
		synctest.Wait()
		came := time.Now()
		for range 300 {
			r.publish(`2`)
			time.Sleep(time.Millisecond)
		}
		if w := page.page(r).send(page.page(r).reported(send, came, came.Add(time.Millisecond))); w.Code != http.StatusNoContent {
			t.Errorf("the report gets %d %s", w.Code, w.Body)
		}
		list := r.tel.Journeys().Slowest(journey.ListQuery{Limit: 1})
		if len(list) != 1 || list[0].Total > time.Second {
			t.Errorf("the slowest is %+v", list)
		}
		j, err := r.tel.Journeys().Journey(journey.Query{TraceID: send.SpanContext().TraceID().String()})
		if err != nil || j.Total > time.Second || j.Later != 1 {
			t.Errorf("the event took %v, %d had it later, %v", j.Total, j.Later, err)
		}
		there.leave()
		page.leave()
		r.close()
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", 0)
		r.expect("sse.client.render.duration", "sse.topic=sensor", 0)
	})
}

// TestPastIsNoReceipt has a node that starts when the broker holds events already: these
// have no journey here, and are counted nowhere. What comes then has one.
func TestPastIsNoReceipt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broker := &streamtest.MemoryBroker{}
		before := newRig(t, telemetry.Options{Node: "a"}, stream.HubOptions{Broker: broker})
		before.publish(`1`, `2`, `3`)
		before.close()
		time.Sleep(5 * time.Second)
		r := newRig(t, telemetry.Options{Node: "a"}, stream.HubOptions{Broker: broker})
		synctest.Wait()
		page := r.connect("/sse-stream", http.Header{"Last-Event-Id": {"1-0"}, "Sec-Fetch-Site": {"same-origin"}}, nil)
		synctest.Wait()
		send := named(before.ended(), "send ")[0]
		now := time.Now()
		time.Sleep(10 * time.Millisecond)
		page.page(r).send(page.page(r).reported(send, now, now))
		if held, _, _ := r.tel.Journeys().Held(); held != 0 || len(r.ended()) != 1 { // the request's
			t.Errorf("%d journeys of what was read from the log:\n%s", held, r.tree())
		}
		id := r.publish(`4`)[0].String()
		time.Sleep(5 * time.Second)
		if list := r.tel.Journeys().Slowest(journey.ListQuery{}); len(list) != 1 || list[0].ID != id || list[0].Total > time.Second {
			t.Errorf("the journeys are %+v", list)
		}
		page.leave()
		r.close()
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", 0)
		fanout := r.final["sse.server.fanout.size"].Data.(metricdata.Histogram[float64]).DataPoints[0]
		if fanout.Count != 1 || fanout.Sum != 1 {
			t.Errorf("%d events had %v readers", fanout.Count, fanout.Sum)
		}
	})
}

// TestDuplicateIsNoEvent publishes an event twice that its publisher has given an ID: there
// is one, with one journey, and the second is neither counted nor lost.
func TestDuplicateIsNoEvent(t *testing.T) {
	for name, opts := range map[string]stream.HubOptions{"alone": {}, "broker": {Broker: &streamtest.MemoryBroker{}}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, telemetry.Options{EventTraces: 1e6}, opts)
				for _, id := range []string{"7", "7", "8", "7"} {
					if _, err := r.hub.Publish(t.Context(), "sensor", stream.Event{Source: "/shop", ForeignID: id, Data: []byte("1")}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				if list := r.tel.Journeys().Recent(journey.ListQuery{}); len(list) != 2 || list[0].ID == list[1].ID {
					t.Errorf("two events have these journeys: %+v", list)
				}
				for _, s := range r.ended() {
					if s.Status().Code == codes.Error {
						t.Errorf("%s has failed: %v", s.Name(), s.Status())
					}
				}
				r.close()
				r.expect("sse.server.events.published", "sse.event.type=weir.event,sse.topic=sensor", 2)
				r.expect("sse.server.publish.duration", "sse.topic=sensor", 4)
			})
		})
	}
}
