//go:build jaeger

package jaeger_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What Jaeger's API answers.
type (
	trace struct {
		TraceID   string
		Spans     []span
		Processes map[string]struct {
			ServiceName string
			Tags        []tag
		}
	}
	tag struct {
		Key   string
		Value any
	}
	span struct {
		TraceID, SpanID, OperationName, ProcessID string
		References                                []reference
		StartTime, Duration                       int64 // µs
		Tags                                      []tag
		Warnings                                  []string
	}
	reference struct{ RefType, TraceID, SpanID string }
)

func (tr trace) named(name string) []span {
	return slices.DeleteFunc(slices.Clone(tr.Spans), func(s span) bool { return s.OperationName != name })
}

func (tr trace) has(id string) bool {
	return slices.ContainsFunc(tr.Spans, func(s span) bool { return s.SpanID == id })
}

// sound fails on orphans, spans told twice, and what Jaeger warns of, such as skewed clocks.
func (tr trace) sound(t *testing.T) {
	t.Helper()
	ids := map[string]bool{}
	for _, s := range tr.Spans {
		if ids[s.SpanID] {
			t.Errorf("%s was exported twice", s.OperationName)
		}
		ids[s.SpanID] = true
		for _, id := range s.parents() {
			if !tr.has(id) {
				t.Errorf("%s is an orphan: its parent %s is not in the trace", s.OperationName, id)
			}
		}
		if len(s.Warnings) > 0 {
			t.Errorf("Jaeger warns of %s: %q", s.OperationName, s.Warnings)
		}
	}
}

func (tr trace) String() string {
	if len(tr.Spans) == 0 {
		return "no spans"
	}
	spans := slices.Clone(tr.Spans)
	slices.SortFunc(spans, func(a, b span) int { return int(a.StartTime - b.StartTime) })
	text := "trace " + tr.TraceID
	for _, s := range spans {
		text += fmt.Sprintf("\n  %8.3f ms +%-12v %-12s %s (parents %v, %d links)", float64(s.StartTime-spans[0].StartTime)/1e3, s.length(), tr.Processes[s.ProcessID].ServiceName, s.OperationName, s.parents(), len(s.links()))
	}
	return text
}

func (s span) length() time.Duration { return time.Duration(s.Duration) * time.Microsecond }

func (s span) tag(key string) any {
	for _, tag := range s.Tags {
		if tag.Key == key {
			return tag.Value
		}
	}
	return nil
}

func (s span) parents() (ids []string) {
	for _, r := range s.References {
		if r.RefType == "CHILD_OF" {
			ids = append(ids, r.SpanID)
		}
	}
	return ids
}

func (s span) links() (links []reference) {
	for _, r := range s.References {
		if r.RefType == "FOLLOWS_FROM" {
			links = append(links, r)
		}
	}
	return links
}

func traceID(t *testing.T, traceparent string) string {
	t.Helper()
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 {
		t.Fatalf("traceparent %q", traceparent)
	}
	return parts[1]
}

// A server is a running Jaeger.
type server struct{ api, otlp string }

// startJaeger runs Jaeger with the configuration that users copy.
func startJaeger(t *testing.T) server {
	t.Helper()
	path := os.Getenv("WEIR_JAEGER")
	if path == "" {
		t.Fatal("WEIR_JAEGER names no Jaeger: run make test-jaeger")
	}
	config, err := filepath.Abs("../stack")
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{}
	cmd := exec.Command(path, "--config", filepath.Join(config, "jaeger.yaml"))
	cmd.Env = append(cleanEnv(), "JAEGER_UI_CONFIG="+filepath.Join(config, "jaeger-ui.json"))
	for _, name := range []string{"UI", "GRPC", "OTLP"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at once, so that no two are the same
		_, ports[name], _ = net.SplitHostPort(l.Addr().String())
		cmd.Env = append(cmd.Env, "JAEGER_"+name+"_PORT="+ports[name])
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	start(t, "jaeger", cmd, nil)
	s := server{api: "http://127.0.0.1:" + ports["UI"], otlp: "http://127.0.0.1:" + ports["OTLP"]}
	eventually(t, func() bool {
		for _, url := range []string{s.api + "/api/services", s.otlp} {
			resp, err := client.Get(url)
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
		}
		return true
	}, func() string { return "Jaeger does not answer" })
	return s
}

// stream returns the trace of a stream, as far as Jaeger has it.
func (s server) stream(t *testing.T, connection string) trace {
	t.Helper()
	for _, tr := range s.search(t, url.Values{"service": {"weir"}, "operation": {"GET /sse-stream"}, "tags": {`{"sse.connection.id":"` + connection + `"}`}}) {
		return tr
	}
	return trace{}
}

func (s server) trace(t *testing.T, id string) trace {
	t.Helper()
	for _, tr := range s.get(t, "/api/traces/"+id) {
		return tr
	}
	return trace{}
}

func (s server) search(t *testing.T, query url.Values) []trace {
	t.Helper()
	now := time.Now()
	query.Del("lookback") // the page makes times of it
	query.Set("start", fmt.Sprint(now.Add(-time.Hour).UnixMicro()))
	query.Set("end", fmt.Sprint(now.Add(time.Minute).UnixMicro()))
	return s.get(t, "/api/traces?"+query.Encode())
}

func (s server) get(t *testing.T, path string) []trace {
	t.Helper()
	resp, err := client.Get(s.api + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	var answer struct{ Data []trace }
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v\n%.300s", path, resp.Status, err, body)
	}
	return answer.Data
}
