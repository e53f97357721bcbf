package telemetry_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/telemetry"
)

// gauge returns the value of a series in the text of /metrics.
func (r *rig) gauge(series string) (value float64, there bool) {
	r.t.Helper()
	for line := range strings.Lines(serve(r.tel.MetricsHandler(), "GET", "/metrics", nil).Body.String()) {
		if rest, is := strings.CutPrefix(line, series+" "); is {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return value, true
		}
	}
	return 0, false
}

// TestTimeToLossIsOfTheReaders: it is told of a reader that lags, also on a topic that
// was made on demand, and of no other; and it is true.
func TestTimeToLossIsOfTheReaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{
			Topic:    stream.TopicOptions{History: 1000},
			OnDemand: func(string) (stream.TopicOptions, bool) { return stream.TopicOptions{Label: "run.*"}, true },
		})
		put := func(topic string, n int) {
			for range n {
				time.Sleep(10 * time.Millisecond)
				if _, err := r.hub.Publish(t.Context(), topic, stream.Event{Data: []byte("1")}); err != nil {
					t.Fatal(err)
				}
			}
		}
		loss := func(label string) (float64, bool) {
			return r.gauge(`sse_server_time_to_loss_seconds{sse_topic="` + label + `"}`)
		}
		for label, topic := range map[string]string{"sensor": "sensor", "run.*": "run.7"} {
			put(topic, 1200)
			if v, there := loss(label); there {
				t.Errorf("nobody reads %s, and who does loses events in %v s", topic, v)
			}
			quick := r.connect("/sse-stream?topic="+topic, nil, nil)
			put(topic, 300)
			if v, there := loss(label); there {
				t.Errorf("the one who reads %s reads all, and loses events in %v s", topic, v)
			}
			stuck := make(chan struct{})
			slow := r.connect("/sse-stream?topic="+topic, nil, func(n int) {
				if n == 3 {
					<-stuck
				}
			})
			put(topic, 400)
			if v, _ := loss(label); v < 5.8 || v > 6.2 { // 600 more, at 100 a second
				t.Errorf("on %s the one who is 400 behind of 1000 loses events in %v s, want 6", topic, v)
			}
			close(stuck)
			synctest.Wait()
			quick.leave()
			slow.leave()
		}
		r.close()
	})
}

// TestLogsOfTopicsOnDemand: of the topics of one pattern it is told what they keep
// together, and how many brokers are in which state.
func TestLogsOfTopicsOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{
			Topic:    stream.TopicOptions{Bytes: 1 << 20},
			OnDemand: func(string) (stream.TopicOptions, bool) { return stream.TopicOptions{Label: "run.*"}, true },
		})
		if _, there := r.gauge(`sse_server_log_entries{sse_topic="run.*"}`); there {
			t.Error("a pattern without topics has a log")
		}
		for _, topic := range []string{"run.1", "run.2", "run.2"} {
			if _, err := r.hub.Publish(t.Context(), topic, stream.Event{Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
		}
		for series, want := range map[string]float64{
			`sse_server_log_entries{sse_topic="run.*"}`:     3,
			`sse_server_log_limit_bytes{sse_topic="run.*"}`: 2 << 20,
		} {
			if got, _ := r.gauge(series); got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
		if got, _ := r.gauge(`sse_server_log_size_bytes{sse_topic="run.*"}`); got <= 0 || got > 3000 {
			t.Errorf("three events keep %v bytes", got)
		}
		for _, absent := range []string{`sse_server_source_restarts_total{sse_topic="run.*"}`, `sse_server_broker_state{sse_source_state="up",sse_topic="run.*"}`} {
			if _, there := r.gauge(absent); there {
				t.Errorf("there is %s", absent)
			}
		}
		r.close()
	})
}
