package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/stream"
)

// The log tells of the start, with what is on and no secret, and of the end. Whatever
// stands on stderr meanwhile is a record.
func TestTheLogTellsOfStartAndEnd(t *testing.T) {
	p := start(t, 1, "-node", "n1", "-topics", "run.*", "-publish-token", "hush")
	stop := p.stream(t, "t")
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	stop()
	records := map[string]map[string]any{}
	for _, line := range strings.Split(strings.TrimSpace(p.stderr.String()), "\n") {
		r := map[string]any{}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("%q is no record: %v", line, err)
		}
		records[r["msg"].(string)] = r
	}
	started, stopped := records["started"], records["stopped"]
	if started == nil || started["node"] != "n1" || started["version"] != version() || !strings.HasSuffix(p.url, started["address"].(string)) || started["broker"] != "memory" || started["topics_on_demand"].([]any)[0] != "run.*" || started["rights"].([]any)[0] != "publish-token" {
		t.Errorf("it tells of the start: %v", started)
	}
	if stopped == nil || stopped["node"] != "n1" || stopped["streams_ended"] != 1.0 || stopped["ran"] == "" {
		t.Errorf("it tells of the end: %v\n%s", stopped, p.stderr)
	}
	if strings.Contains(p.stderr.String(), "hush") {
		t.Error("a secret is in the log")
	}
}

// "Stopped" is the last that the log says: when the sources have ended, too, which takes
// as long as they do.
func TestStoppedIsTheLastWord(t *testing.T) {
	p := start(t, 1, "-source", `slow=exec:trap 'echo ending >&2; sleep 0.2; echo gone >&2; exit' TERM INT; echo up; while :; do sleep 0.05; done`)
	until(t, "the source to be up", func() bool {
		_, body := p.do(t, exchange{"GET", "/sse-health", "", nil})
		return strings.Contains(body, `"source":"up"`)
	})
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last["msg"] != "stopped" {
		t.Errorf("the log ends with %s\n%s", lines[len(lines)-1], p.stderr)
	}
	if !strings.Contains(p.stderr.String(), "gone") {
		t.Errorf("the source did not end as it does: %s", p.stderr)
	}
}

// stream opens a stream, and returns when it is open.
func (p *program) stream(t *testing.T, topic string) (stop func()) {
	t.Helper()
	resp, err := http.Get(p.url + "/t/" + topic)
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = resp.Body.Close() }
}

// A second signal cuts nothing where no stream is open, and the log says of none that
// it was cut.
func TestNoStreamIsCutWhereNoneIsOpen(t *testing.T) {
	var log strings.Builder
	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	second, cancel := context.WithCancel(t.Context())
	cancel()
	tp := &topics{hub: hub, handler: &stream.Handler{Hub: hub}, logger: slog.New(slog.NewTextHandler(&log, nil))}
	if open := tp.drain(second, time.Minute); open != 0 || log.Len() > 0 {
		t.Errorf("%d streams, and the log says %s", open, log.String())
	}
}
