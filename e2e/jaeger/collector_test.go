//go:build jaeger

package jaeger_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestTailSampler puts a collector before Jaeger that samples by what is in a trace,
// ten seconds after it began, with the configuration that users copy. Jaeger's own
// program is such a collector. Of ordinary traces it keeps none here.
func TestTailSampler(t *testing.T) {
	j := startJaeger(t)
	weir, _ := startWeirWith(t, []string{"-source", "orders=http", "-publish-token", token, "-publish-rate", "0", "-history", "64", "-trusted-proxy", "127.0.0.1"},
		"OTEL_EXPORTER_OTLP_ENDPOINT="+startCollector(t, j), "OTEL_BSP_SCHEDULE_DELAY=100")
	opened := time.Now()
	killed := subscribe(t, weir, "topic=orders&format=json", "203.0.113.6", "killed/1.0", "")
	well := subscribe(t, weir, "topic=orders&format=json", "203.0.113.7", "well/1.0", "Sec-Fetch-Site: same-origin\r\n")
	killed.read(t, 0)
	well.read(t, 0)
	publish(t, weir, `{"order":1}`)
	well.read(t, 1)
	came, late := time.Now(), well.events[0]
	time.Sleep(500 * time.Millisecond) // until it is on screen
	well.report(t, weir, came)
	publish(t, weir, `{"order":2}`)
	well.read(t, 2)
	quick := well.events[1]
	_ = well.SetReadDeadline(time.Time{})
	go func() { _, _ = io.Copy(io.Discard, well) }()
	// The sampler has decided about the streams' traces by now, and keeps nothing of
	// them.
	time.Sleep(time.Until(opened.Add(13 * time.Second)))
	_ = killed.Conn.(*net.TCPConn).SetLinger(0)
	_ = killed.Close()
	// Somebody comes back too late, and misses events.
	for i := range 100 {
		publish(t, weir, fmt.Sprintf(`{"order":%d}`, 100+i))
	}
	missed := subscribe(t, weir, "topic=orders&format=json&last_event_id="+quick.id, "203.0.113.8", "late/1.0", "")
	missed.read(t, 1)
	_ = missed.Close()

	eventually(t, func() bool {
		for _, tr := range j.find(t, []string{"operation=stream orders", "sse.close.reason=reset"}) {
			s := tr.named("stream orders")[0]
			if s.tag("sse.connection.id") == killed.connection && s.tag("client.address") == "203.0.113.6" {
				return true
			}
		}
		return false
	}, func() string { return "the sampler has lost who was cut off" })
	eventually(t, func() bool { return len(j.find(t, []string{"operation=stream orders", "sse.gap.reason=expired"})) > 0 },
		func() string { return "the sampler has lost who missed events" })
	eventually(t, func() bool { return len(j.trace(t, traceID(t, late.traceparent)).named("process orders")) == 1 },
		func() string { return "the sampler has lost an event that took 500 ms" })
	// What it kept came later than what it did not.
	if tr := j.trace(t, traceID(t, quick.traceparent)); len(tr.Spans) > 0 {
		t.Errorf("it samples nothing: it has %s", tr)
	}
	if n := len(j.search(t, url.Values{"service": {"weir"}, "operation": {"GET /sse-stream"}, "tags": {`{"sse.connection.id":"` + well.connection + `"}`}})); n > 0 {
		t.Error("it keeps a stream that is well")
	}
}

// startCollector runs the collector of e2e/stack before a Jaeger, and returns its
// address.
func startCollector(t *testing.T, j server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	cmd := exec.Command(os.Getenv("WEIR_JAEGER"), "--config", "../stack/collector.yaml")
	cmd.Env = append(cleanEnv(), "COLLECTOR_PORT="+port, "COLLECTOR_PERCENT=0", "COLLECTOR_BACKEND="+j.otlp)
	start(t, "collector", cmd, nil)
	eventually(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	}, func() string { return "the collector does not answer" })
	return "http://127.0.0.1:" + port
}
