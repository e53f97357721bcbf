package telemetry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"

	"weir/stream"
	"weir/telemetry"
	"weir/telemetry/journey"
)

type report map[string]any

func millis(t time.Time) float64 { return float64(t.UnixNano()) / 1e6 }

// A browser sends reports. Its clock may be wrong, and the way may take time.
type browser struct {
	r          *rig
	skew       time.Duration // its clock is ahead by so much
	travel     time.Duration
	offset     *time.Duration // by how much it takes the server's clock to be ahead; nil: it does not say
	connection string
	proof      string // what connected told
}

// page is the browser at the other end of a stream.
func (c *client) page(r *rig) browser {
	told := func(member string) string {
		_, after, _ := strings.Cut(c.text(), `"`+member+`":"`)
		value, _, _ := strings.Cut(after, `"`)
		return value
	}
	return browser{r: r, connection: told("connection"), proof: told("traceparent")}
}

func (b browser) send(reports ...report) *httptest.ResponseRecorder {
	beacon := map[string]any{"now": millis(time.Now().Add(b.skew)), "connection": b.connection, "proof": b.proof, "reports": reports}
	if b.offset != nil {
		beacon["offset"] = b.offset.Seconds() * 1000
	}
	body, err := json.Marshal(beacon)
	if err != nil {
		b.r.t.Fatal(err)
	}
	time.Sleep(b.travel)
	return b.post(bytes.NewReader(body), nil)
}

// post sends any body, with headers in place of the page's.
func (b browser) post(body io.Reader, header map[string]string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("POST", "http://weir.example/telemetry/browser", body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "http://weir.example")
	for name, value := range header {
		if req.Header.Set(name, value); value == "" {
			req.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	b.r.tel.BrowserHandler().ServeHTTP(w, req)
	return w
}

// reported is the page's report of an event, by its own clock.
func (b browser) reported(send trace.ReadOnlySpan, received, shown time.Time) report {
	sc := send.Parent()
	return report{"topic": "sensor", "id": attr(send, "sse.event.id").AsString(), "traceparent": "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-01",
		"received": millis(received.Add(b.skew)), "shown": millis(shown.Add(b.skew))}
}

// with returns a report with another value.
func (browser) with(r report, name string, value any) report {
	r[name] = value
	return r
}

// oneEvent makes a rig that has delivered one event, 2 ms from log to flush.
func oneEvent(t *testing.T) (r *rig, c *client, send trace.ReadOnlySpan) {
	r = newRig(t, telemetry.Options{}, stream.HubOptions{})
	c = r.connect("/sse-stream", nil, func(n int) {
		if n > 1 {
			time.Sleep(2 * time.Millisecond)
		}
	})
	time.Sleep(time.Second)
	r.publish(`1`)
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
	return r, c, named(r.ended(), "send ")[0]
}

// near reports whether two times differ by the rounding of a float at most.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < 10*time.Microsecond }

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name         string
		skew, travel time.Duration
		late         time.Duration // how much later than in truth the span is, which is the way at most
		offset       *time.Duration
	}{
		{"clocks agree", 0, 5 * time.Millisecond, 0, nil},
		{"browser ahead", time.Hour, 5 * time.Millisecond, 5 * time.Millisecond, nil},
		{"browser behind", -time.Hour, 5 * time.Millisecond, 5 * time.Millisecond, nil},
		{"browser a little behind", -4 * time.Millisecond, 5 * time.Millisecond, -3 * time.Millisecond, nil},
		{"slow way", 0, time.Second, time.Second, nil},
		{"slow way, and the page knows that the clocks agree", 0, time.Second, 0, new(time.Duration(0))},
		{"browser ahead, as it knows", time.Hour, 300 * time.Millisecond, 0, new(-time.Hour)},
		{"browser a little ahead, as it knows", 40 * time.Millisecond, 100 * time.Millisecond, 0, new(-40 * time.Millisecond)},
		{"browser a little behind, as it knows", -40 * time.Millisecond, 100 * time.Millisecond, 0, new(40 * time.Millisecond)},
		{"an offset that cannot be", 0, 5 * time.Millisecond, 0, new(time.Hour)},
		{"an offset no longer true", time.Minute, 5 * time.Millisecond, 5 * time.Millisecond, new(time.Duration(0))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, c, send := oneEvent(t)
				received := time.Now().Add(time.Millisecond)
				shown := received.Add(3 * time.Millisecond)
				time.Sleep(100 * time.Millisecond)
				page := c.page(r)
				page.skew, page.travel, page.offset = tt.skew, tt.travel, tt.offset
				if w := page.send(page.reported(send, received, shown)); w.Code != http.StatusNoContent {
					t.Fatalf("the report gets %d %s", w.Code, w.Body)
				}
				c.leave()
				r.close()
				r.noOrphans()
				spans := named(r.ended(), "process ")
				if len(spans) != 1 {
					t.Fatalf("spans:\n%s", r.tree())
				}
				s := spans[0]
				service, _ := s.Resource().Set().Value("service.name")
				host, _ := s.Resource().Set().Value("host.name")
				ours, _ := send.Resource().Set().Value("host.name")
				if s.Name() != "process sensor" || s.SpanKind().String() != "consumer" || s.Parent().SpanID() != send.Parent().SpanID() ||
					service.AsString() != "weir-browser" || host.AsString() != ours.AsString() || host.AsString() == "" {
					t.Errorf("span %s %s of %s on %s, child of %s", s.Name(), s.SpanKind(), service.AsString(), host.AsString(), s.Parent().SpanID())
				}
				if attr(s, "sse.connection.id").AsString() != page.connection {
					t.Errorf("sse.connection.id = %q", attr(s, "sse.connection.id").AsString())
				}
				if !near(s.StartTime(), received.Add(tt.late)) || s.EndTime().Sub(s.StartTime()).Round(10*time.Microsecond) != 3*time.Millisecond {
					t.Errorf("the span begins %v after the arrival, and takes %v", s.StartTime().Sub(received), s.EndTime().Sub(s.StartTime()))
				}
				r.expect("sse.client.delivery.duration", "sse.topic=sensor", 1)
				r.expect("sse.client.render.duration", "sse.topic=sensor", 1)

				j, err := r.tel.Journeys().Journey(journey.Query{TraceID: send.SpanContext().TraceID().String()})
				if err != nil {
					t.Fatal(err)
				}
				var steps []string
				for _, s := range j.Steps {
					steps = append(steps, string(s.Kind))
				}
				want := "send, deliver, network, process"
				if tt.late < 0 { // as it seems, it arrived before it was sent: there is no time for the network
					want = "send, deliver, process"
				}
				if strings.Join(steps, ", ") != want || j.Topic != "sensor" || j.Start != send.StartTime() {
					t.Errorf("the journey is %+v", j)
				}
			})
		})
	}
}

// TestReportOfAMinuteAgo has a report on its way for a minute, as one to a server that
// hangs: that is no time of the event.
func TestReportOfAMinuteAgo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, c, send := oneEvent(t)
		received := time.Now().Add(time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		page := c.page(r)
		page.travel, page.offset = time.Minute, new(time.Duration(0))
		page.send(page.reported(send, received, received.Add(3*time.Millisecond)))
		j, err := r.tel.Journeys().Journey(journey.Query{TraceID: send.SpanContext().TraceID().String()})
		if err != nil || j.Awaited || j.Total > time.Second {
			t.Errorf("the journey took %v, awaited: %v, %v", j.Total, j.Awaited, err)
		}
		c.leave()
		r.close()
	})
}

// TestHostileReports sends what no page of ours does. Nothing comes of it.
func TestHostileReports(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, c, send := oneEvent(t)
		page := c.page(r)
		now := time.Now()
		time.Sleep(time.Second)
		honest := page.reported(send, now, now)
		with := func(change report) report {
			forged := report{}
			for k, v := range honest {
				forged[k] = v
			}
			for k, v := range change {
				forged[k] = v
			}
			return forged
		}
		sc := send.SpanContext()
		many := make([]report, 101)
		for i := range many {
			many[i] = honest
		}
		wellFormed := `{"now":1,"reports":[]}`
		for _, tt := range []struct {
			name   string
			send   func() *httptest.ResponseRecorder
			status int
			reason string
			n      float64
		}{
			{"another trace", func() *httptest.ResponseRecorder { return page.send(with(report{"traceparent": foreign})) }, 204, "unknown_trace", 1},
			{"another span of the trace", func() *httptest.ResponseRecorder {
				return page.send(with(report{"traceparent": "00-" + sc.TraceID().String() + "-b7ad6b7169203331-01"}))
			}, 204, "unknown_trace", 1},
			{"another topic", func() *httptest.ResponseRecorder { return page.send(with(report{"topic": "other"})) }, 204, "unknown_trace", 1},
			{"no proof", func() *httptest.ResponseRecorder {
				return browser{r: r, connection: page.connection}.send(honest, honest)
			}, 204, "connection", 2},
			{"another's connection", func() *httptest.ResponseRecorder {
				return browser{r: r, connection: page.connection, proof: foreign}.send(honest)
			}, 204, "connection", 1},
			{"no connection", func() *httptest.ResponseRecorder { return browser{r: r, proof: page.proof}.send(honest) }, 204, "connection", 1},
			{"another event", func() *httptest.ResponseRecorder { return page.send(with(report{"id": "5-0"})) }, 204, "unknown_trace", 1},
			{"no trace", func() *httptest.ResponseRecorder { return page.send(with(report{"traceparent": "<script>"})) }, 204, "unknown_trace", 1},
			{"before it was sent", func() *httptest.ResponseRecorder {
				return page.send(with(report{"received": millis(send.StartTime().Add(-time.Millisecond))}))
			}, 204, "time", 1},
			{"before it was sent, by an offset that is no longer true", func() *httptest.ResponseRecorder {
				set := page
				set.offset = new(-time.Minute)
				return set.send(honest)
			}, 204, "time", 1},
			{"shown before received", func() *httptest.ResponseRecorder {
				return page.send(with(report{"shown": millis(now.Add(-time.Millisecond))}))
			}, 204, "time", 1},
			{"in the future", func() *httptest.ResponseRecorder {
				return page.send(with(report{"shown": millis(now.Add(time.Hour))}))
			}, 204, "time", 1},
			{"absurd", func() *httptest.ResponseRecorder { return page.send(with(report{"shown": 1e300})) }, 204, "time", 1},
			{"negative", func() *httptest.ResponseRecorder { return page.send(with(report{"received": -5})) }, 204, "time", 1},
			{"a clock of another year", func() *httptest.ResponseRecorder {
				wrong := page
				wrong.skew = 400 * 24 * time.Hour
				return wrong.send(honest, honest)
			}, 204, "time", 2},
			{"a clock of another week, in all that it says", func() *httptest.ResponseRecorder {
				wrong := page
				wrong.skew = 49 * time.Hour
				return wrong.send(wrong.reported(send, now, now))
			}, 204, "time", 1},
			{"an event of another topic", func() *httptest.ResponseRecorder {
				_ = r.hub.EnsureTopic("other", stream.TopicOptions{})
				if _, err := r.hub.Publish(t.Context(), "other", stream.Event{Data: []byte(`1`)}); err != nil {
					t.Fatal(err)
				}
				sends := named(r.ended(), "send ")
				at := time.Now()
				return page.send(page.with(page.reported(sends[len(sends)-1], at, at), "topic", ""))
			}, 204, "time", 1},
			{"too many reports", func() *httptest.ResponseRecorder { return page.send(many...) }, 400, "size", 1},
			{"10 MB", func() *httptest.ResponseRecorder {
				return page.post(strings.NewReader(strings.Repeat(" ", 10<<20)), nil)
			}, 413, "size", 1},
			{"10 MB of unknown length", func() *httptest.ResponseRecorder {
				return page.post(io.LimitReader(zeros{}, 10<<20), nil)
			}, 413, "size", 1},
			{"no JSON", func() *httptest.ResponseRecorder { return page.post(strings.NewReader("{"), nil) }, 400, "malformed", 1},
			{"other types", func() *httptest.ResponseRecorder {
				return page.post(strings.NewReader(`{"now":"x","reports":{}}`), nil)
			}, 400, "malformed", 1},
			{"a form", func() *httptest.ResponseRecorder {
				return page.post(strings.NewReader(wellFormed), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
			}, 415, "content_type", 1},
			{"another origin", func() *httptest.ResponseRecorder {
				return page.post(strings.NewReader(wellFormed), map[string]string{"Origin": "http://evil.example"})
			}, 403, "origin", 1},
			{"another site", func() *httptest.ResponseRecorder {
				return page.post(strings.NewReader(wellFormed), map[string]string{"Sec-Fetch-Site": "cross-site"})
			}, 403, "origin", 1},
			{"no origin", func() *httptest.ResponseRecorder {
				return page.post(strings.NewReader(wellFormed), map[string]string{"Origin": ""})
			}, 403, "origin", 1},
			{"GET", func() *httptest.ResponseRecorder {
				return serve(r.tel.BrowserHandler(), "GET", "/telemetry/browser", nil)
			}, 405, "method", 1},
		} {
			time.Sleep(time.Second) // the rate is another test's
			before := r.value("sse.client.reports.rejected", "sse.report.reason="+tt.reason)
			w := tt.send()
			if w.Code != tt.status {
				t.Errorf("%s: status %d, want %d", tt.name, w.Code, tt.status)
			}
			if n := r.value("sse.client.reports.rejected", "sse.report.reason="+tt.reason) - before; n != tt.n {
				t.Errorf("%s: %v reports are counted under %s, want %v", tt.name, n, tt.reason, tt.n)
			}
		}
		if spans := named(r.ended(), "process "); len(spans) != 0 {
			t.Errorf("hostile reports made spans:\n%s", r.tree())
		}
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", 0)
		// After all that, the honest page is heard.
		time.Sleep(time.Minute)
		if w := page.send(honest); w.Code != http.StatusNoContent || len(named(r.ended(), "process ")) != 1 {
			t.Errorf("the honest report gets %d and makes %d spans", w.Code, len(named(r.ended(), "process ")))
		}
		time.Sleep(15 * time.Minute)
		if before := r.value("sse.client.reports.rejected", "sse.report.reason=time"); page.send(honest).Code != http.StatusNoContent || r.value("sse.client.reports.rejected", "sse.report.reason=time") != before+1 {
			t.Error("a report of a quarter of an hour ago is believed")
		}
		c.leave()
		r.close()
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestFloodOfReports repeats a true report, from one client and from many.
func TestFloodOfReports(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, c, send := oneEvent(t)
		page := c.page(r)
		honest := page.reported(send, time.Now(), time.Now())
		refused := 0
		for range 1000 {
			w := page.send(honest)
			if w.Code == http.StatusTooManyRequests {
				refused++
				if w.Header().Get("Retry-After") == "" {
					t.Fatal("no Retry-After")
				}
			}
		}
		if refused != 900 {
			t.Errorf("%d of 1000 beacons at once are refused", refused)
		}
		if n := len(named(r.ended(), "process ")); n != 3 { // eight are believed, and counted
			t.Errorf("one event has %d process spans", n)
		}
		r.expect("sse.client.reports.rejected", "sse.report.reason=too_many", 92)
		r.expect("sse.client.reports.rejected", "sse.report.reason=rate", 900)
		time.Sleep(time.Minute)
		if w := page.send(honest); w.Code != http.StatusNoContent {
			t.Errorf("after a minute a page gets %d", w.Code)
		}
		c.leave()
		r.close()
	})
}

// TestReportOfWhatWasNotShown has a page that had the event, in a hidden tab or as one of
// a burst: that is a delivery, and nothing was on screen.
func TestReportOfWhatWasNotShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, c, send := oneEvent(t)
		page := c.page(r)
		received := time.Now().Add(10 * time.Second)
		time.Sleep(11 * time.Second)
		honest := page.reported(send, received, received)
		delete(honest, "shown")
		page.send(honest)
		c.leave()
		r.close()
		r.expect("sse.client.delivery.duration", "sse.topic=sensor", 1)
		r.expect("sse.client.render.duration", "sse.topic=sensor", 0)
		if n := len(named(r.ended(), "process ")); n != 0 {
			t.Errorf("%d spans of what no page showed", n)
		}
		list := r.tel.Journeys().Slowest(journey.ListQuery{})
		if len(list) != 1 || list[0].Last != journey.Arrive || list[0].Awaited || list[0].Total.Round(time.Millisecond) != received.Sub(send.StartTime()).Round(time.Millisecond) {
			t.Errorf("the list is %+v", list)
		}
	})
}
