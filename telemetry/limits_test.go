package telemetry_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/telemetry"
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
		// Nobody reads them: each has two spans, of 75 a second.
		if n := sends(); n < 375 || n > 530 {
			t.Errorf("another 1000 events in 10 s made it %d traces", n)
		}
		r.close()
		r.expect("sse.server.events.published", "sse.event.type=weir.event,sse.topic=sensor", 2000)
	})
}

// TestSpansOfEventsAreLimited has many readers of every event, and pages that report
// each: their traces have many spans, so there are fewer.
func TestSpansOfEventsAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{ReportRate: func(*http.Request) time.Duration { return 0 }}, stream.HubOptions{})
		var pages []browser
		for range 20 {
			c := r.connect("/sse-stream", http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil)
			synctest.Wait()
			pages = append(pages, c.page(r))
		}
		const seconds = 60
		told := 0
		for range seconds * 20 {
			r.publish(`1`)
			synctest.Wait()
			now := time.Now()
			for _, s := range named(r.ended(), "send ")[told:] {
				told++
				for _, p := range pages {
					p.send(p.reported(s, now, now))
				}
			}
			time.Sleep(time.Second / 20)
		}
		time.Sleep(10 * time.Second)
		n := len(r.ended())
		// A second's worth of traces may come at once; then 75 spans a second.
		if most := 50*18 + 75*seconds; n > most || n < 75*seconds/2 {
			t.Errorf("%d spans in %d s", n, seconds)
		}
		events, processes := len(named(r.ended(), "send ")), len(named(r.ended(), "process "))
		if processes < 2*events || processes > 3*events {
			t.Errorf("%d events have %d process spans", events, processes)
		}
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", float64(events*len(pages)))
		r.close()
	})
}

// TestManyPagesReport has most of them report when the event has been told of: they
// are counted, and make no more spans.
func TestManyPagesReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		var pages []browser
		for range 20 {
			c := r.connect("/sse-stream", http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil)
			synctest.Wait()
			pages = append(pages, c.page(r))
		}
		r.publish(`1`)
		synctest.Wait()
		came, send := time.Now(), named(r.ended(), "send ")[0]
		for i, p := range pages {
			if i == 5 {
				time.Sleep(10 * time.Second)
			}
			p.send(p.reported(send, came, came))
		}
		if n := len(named(r.ended(), "process ")); n != 3 {
			t.Errorf("%d of %d reports are spans, want 3", n, len(pages))
		}
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", float64(len(pages)))
		r.close()
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
