package main

import (
	"strings"
	"testing"
)

// A topic on demand that is removed while Redis is away is no part of the outage any
// more: the log says that Redis is back when it is.
func TestTopicRemovedInAnOutage(t *testing.T) {
	addr := freeAddr(t)
	client, url := startRedisAt(t, addr)
	p := start(t, 1, "-redis", url, "-topics", "run.*,ttl=2s")
	until(t, "the start to be told", func() bool { return strings.Contains(p.stderr.String(), `"broker up"`) })
	resp, stream := p.open(t, "topic=run.E") // a topic with a reader stays
	if m, err := stream.Next(); err != nil || m.Event != "connected" {
		t.Fatal(m, err)
	}
	health := func() string { return p.get(t, "/sse-health") }
	if !strings.Contains(health(), `"run.*"`) {
		t.Fatalf("the topic is not in health: %s", health())
	}
	_ = client.ShutdownNoSave(t.Context()).Err() // it has no answer
	told := `"topics":2,"failures"`              // of a broker that failed, or was down before that was told
	until(t, "the outage to be told of both topics", func() bool { return strings.Contains(p.stderr.String(), told) })
	resp.Body.Close()
	until(t, "the topic to be removed", func() bool { return !strings.Contains(health(), `"run.*"`) })
	startRedisAt(t, addr)
	until(t, "the end of the outage to be told", func() bool {
		_, later, _ := strings.Cut(p.stderr.String(), told)
		return strings.Contains(later, `"broker up"`)
	})
}
