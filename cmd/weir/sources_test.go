package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// What a source that crashes over and over tells of itself, and a topic that has
// no source of its own.
func TestStateOfTheSources(t *testing.T) {
	p := start(t, 1, "-source", "broken=exec:exit 3")
	var health struct{ Topics map[string]map[string]any }
	until(t, "the source to be down", func() bool {
		health.Topics = nil
		if err := json.Unmarshal([]byte(p.get(t, "/sse-health")), &health); err != nil {
			t.Fatal(err)
		}
		return health.Topics["broken"]["source"] == "down"
	})
	broken, fed := health.Topics["broken"], health.Topics["t"]
	if restarts, _ := broken["source_restarts"].(float64); broken["status"] != "unwell" || restarts < 2 || broken["source_fault"] == nil {
		t.Errorf("the source that crashes: %v", broken)
	}
	if fed["status"] != "ok" || fed["source"] != nil {
		t.Errorf("the topic that is published to: %v", fed)
	}
	metrics := p.get(t, "/metrics")
	for series, want := range map[string]string{
		`sse_server_source_restarts_total{sse_topic="broken"}`:                `[2-9]|\d\d+`,
		`sse_server_source_restarts_total{sse_topic="t"}`:                     `0`,
		`sse_server_source_state{sse_source_state="down",sse_topic="broken"}`: `1`,
		`sse_server_source_state{sse_source_state="up",sse_topic="broken"}`:   `0`,
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (` + want + `)$`).MatchString(metrics) {
			_, after, _ := strings.Cut(metrics, series)
			line, _, _ := strings.Cut(after, "\n")
			t.Errorf("%s is%s, want %s", series, line, want)
		}
	}
	if strings.Contains(metrics, `sse_server_source_state{sse_source_state="starting",sse_topic="t"}`) {
		t.Error("a topic without a source has a state of its source")
	}
}

// The series of topics on demand are there before the first topic: what begins with
// its first incident has no increase.
func TestSeriesOfTopicsOnDemand(t *testing.T) {
	p := start(t, 1, "-topics", "run.*", "-topics", "one-more", "-publish-token", "hush")
	_, metrics := p.do(t, exchange{"GET", "/metrics", "", nil})
	for _, label := range []string{"run.*", "one-more"} {
		for _, series := range []string{
			`sse_server_gaps_total{sse_gap_reason="slow",sse_topic="%s"} 0`, `sse_server_events_dropped_total{sse_drop_reason="unavailable",sse_topic="%s"} 0`,
			`sse_server_connection_duration_seconds_count{sse_close_reason="drain",sse_topic="%s"} 0`,
		} {
			if want := fmt.Sprintf(series, label); !strings.Contains(metrics, want+"\n") {
				t.Errorf("there is no %s", want)
			}
		}
	}
}
