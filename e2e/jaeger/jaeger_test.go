//go:build jaeger

package jaeger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weir/stream/streamtest"
)

// patience is how long a condition may take to come true: more than the first
// segment of a stream (15 s) and the batches on its way to Jaeger.
const patience = 60 * time.Second

// A person presses Connect, and looks for the stream and for an event in Jaeger.
func TestStreamAndEventInJaeger(t *testing.T) {
	j := startJaeger(t)
	// What the README tells a user to set, and nothing else.
	weir, log := startWeir(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+j.otlp)
	page := openPage(t, weir)
	do(t, page, chromedp.Click(chromedp.CSS("#connect"), chromedp.NodeVisible))
	wait(t, page, `document.body.dataset.state === 'connected' && document.querySelectorAll('#sse-feed .data-item[data-traceparent]:not([data-replayed])').length >= 2`)
	connection := evaluate[string](t, page, `document.getElementById('stream-connection').textContent.trim()`)
	type item struct{ ID, Traceparent string }
	events := evaluate[[]item](t, page, `[...document.querySelectorAll('#sse-feed .data-item[data-traceparent]:not([data-replayed])')].map((e) => ({ id: e.dataset.id, traceparent: e.dataset.traceparent }))`)

	t.Run("the stream while it is open", func(t *testing.T) {
		var tr trace
		eventually(t, func() bool {
			tr = j.stream(t, connection)
			return len(tr.named("GET /sse-stream")) == 1 && len(tr.named("stream sensor")) >= 1
		}, func() string { return "the establish span and the first segment: got " + tr.String() })
		if !open(t, weir, connection) {
			t.Fatal("the stream has ended meanwhile")
		}
		tr.sound(t)
		establish, segment := tr.named("GET /sse-stream")[0], tr.named("stream sensor")[0]
		if got := establish.tag("span.kind"); got != "server" {
			t.Errorf("GET /sse-stream is of kind %v, want server", got)
		}
		if len(establish.parents()) != 0 {
			t.Errorf("GET /sse-stream has a parent")
		}
		if d := establish.length(); d > time.Second {
			t.Errorf("GET /sse-stream took %v: that is the stream, not its establishment", d)
		}
		if !slices.Equal(segment.parents(), []string{establish.SpanID}) {
			t.Errorf("the segment's parents are %v, want GET /sse-stream", segment.parents())
		}
		if d := segment.length(); d < 14*time.Second || d > 25*time.Second {
			t.Errorf("the first segment took %v, want 15 s", d)
		}
		if n, _ := segment.tag("sse.segment.delivered").(float64); n < 5 {
			t.Errorf("the first segment delivered %v events", segment.tag("sse.segment.delivered"))
		}
		if segment.tag("sse.close.reason") != nil {
			t.Errorf("an open stream has the close reason %v", segment.tag("sse.close.reason"))
		}
		t.Log(tr)
	})

	t.Run("the way of an event", func(t *testing.T) {
		event := events[len(events)-1] // one that came while the page was connected
		var tr trace
		eventually(t, func() bool {
			tr = j.trace(t, traceID(t, event.Traceparent))
			return len(tr.named("event sensor")) == 1 && len(tr.named("send sensor")) == 1 && len(tr.named("deliver sensor")) >= 1 && len(tr.named("process sensor")) >= 1
		}, func() string { return "event, send, deliver and process: got " + tr.String() })
		tr.sound(t)
		whole := tr.named("event sensor")[0]
		send, deliver, process := tr.named("send sensor")[0], tr.named("deliver sensor")[0], tr.named("process sensor")[0]
		for _, s := range []struct {
			span
			kind, service string
		}{{send, "producer", "weir"}, {deliver, "internal", "weir"}, {process, "consumer", "weir-browser"}} {
			if got := s.tag("span.kind"); got != s.kind {
				t.Errorf("%s is of kind %v, want %s", s.OperationName, got, s.kind)
			}
			if got := tr.Processes[s.ProcessID].ServiceName; got != s.service {
				t.Errorf("%s is of service %s, want %s", s.OperationName, got, s.service)
			}
			if got := s.tag("sse.event.id"); got != event.ID {
				t.Errorf("%s is of event %v, want %s", s.OperationName, got, event.ID)
			}
		}
		for _, s := range []span{send, deliver, process} {
			if !slices.Equal(s.parents(), []string{whole.SpanID}) {
				t.Errorf("the parents of %s are %v, want event", s.OperationName, s.parents())
			}
			if s.StartTime < whole.StartTime || s.StartTime+s.Duration > whole.StartTime+whole.Duration+1 { // in whole µs
				t.Errorf("%s lies outside of its event: %s", s.OperationName, tr)
			}
		}
		if send.StartTime > deliver.StartTime || deliver.StartTime > process.StartTime+process.Duration || send.StartTime > process.StartTime {
			t.Errorf("the order is not send, deliver, process: %s", tr)
		}
		// The delivery leads to the stream that it was made on.
		stream := j.stream(t, connection)
		leads := false
		for _, link := range deliver.links() {
			leads = leads || link.TraceID == stream.TraceID && stream.has(link.SpanID)
		}
		if !leads {
			t.Errorf("deliver has the links %v, none to a span of the stream %s", deliver.links(), stream)
		}
		t.Log(tr)
	})

	t.Run("the links of the user interface", func(t *testing.T) {
		var ui struct {
			LinkPatterns []struct{ Key, URL string }
		}
		b, err := os.ReadFile("../stack/jaeger-ui.json")
		if err == nil {
			err = json.Unmarshal(b, &ui)
		}
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, p := range ui.LinkPatterns {
			var value, want string
			switch p.Key {
			case "sse.connection.id":
				value, want = connection, "stream sensor"
			case "sse.event.id":
				value, want = events[0].ID, "send sensor"
			default:
				continue
			}
			tried++
			u, err := url.Parse(strings.ReplaceAll(p.URL, "#{"+p.Key+"}", url.QueryEscape(value)))
			if err != nil {
				t.Fatal(err)
			}
			// The page /search asks the API with the same parameters.
			found := j.search(t, u.Query())
			if !slices.ContainsFunc(found, func(tr trace) bool { return len(tr.named(want)) > 0 }) {
				t.Errorf("%s leads to %v, without %q", u, found, want)
			}
		}
		if tried != 2 {
			t.Errorf("%d of 2 links were tried", tried)
		}
	})

	t.Run("the stream when it has ended", func(t *testing.T) {
		do(t, page, chromedp.Click(chromedp.CSS("#disconnect"), chromedp.NodeVisible))
		var tr trace
		var last []span
		eventually(t, func() bool {
			tr = j.stream(t, connection)
			last = nil
			for _, s := range tr.named("stream sensor") {
				if s.tag("sse.close.reason") != nil {
					last = append(last, s)
				}
			}
			return len(last) > 0
		}, func() string { return "no segment tells why the stream ended: " + tr.String() })
		tr.sound(t)
		if len(last) != 1 || last[0].tag("sse.close.reason") != "client" {
			t.Errorf("it ended %d times, for the reason %v, want client", len(last), last[0].tag("sse.close.reason"))
		}
		segments := tr.named("stream sensor")
		if len(segments) < 2 {
			t.Fatalf("%d segments", len(segments))
		}
		slices.SortFunc(segments, func(a, b span) int { return int(a.StartTime - b.StartTime) })
		for i, s := range segments[1:] {
			before := segments[i]
			if !slices.ContainsFunc(s.links(), func(r reference) bool { return r.SpanID == before.SpanID }) {
				t.Errorf("segment %d has no link to the one before", i+2)
			}
		}
	})

	// Traces, metrics and logs: Jaeger has taken all that it was sent.
	if text := log.String(); strings.Contains(text, "export") {
		t.Errorf("the server complains:\n%s", text)
	}
}

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

var client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

var listening = regexp.MustCompile(`^listening on (http://\S+)$`)

// startWeir builds and runs the server with its default sources.
func startWeir(t *testing.T, env ...string) (address string, log *streamtest.Buffer) {
	return startWeirWith(t, nil, env...)
}

func startWeirWith(t *testing.T, flags []string, env ...string) (address string, log *streamtest.Buffer) {
	t.Helper()
	if _, err := os.Stat("../../web/dist/manifest.json"); err != nil {
		t.Fatal("the page's assets are not built: run make build first")
	}
	binary := filepath.Join(t.TempDir(), "weir")
	if text, err := exec.Command("go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, text)
	}
	cmd := exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, flags...)...)
	cmd.Env = append(cleanEnv(), env...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log = start(t, "weir", cmd, in)
	_ = in.Close()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		_ = out.Close()
	}()
	m := listening.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		t.Fatalf("the server's first line is %q: %v", line, err)
	}
	return m[1], log
}

// open tells whether the server has the connection.
func open(t *testing.T, weir, connection string) bool {
	t.Helper()
	resp, err := client.Get(weir + "/sse-health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var health struct {
		Details map[string]any `json:"connection_details"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	return health.Details[connection] != nil
}

func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "WEIR_") || strings.HasPrefix(pair, "OTEL_") || strings.HasPrefix(pair, "JAEGER_")
	})
}

// start runs the command until the end of the test, and shows what it said if
// the test fails.
func start(t *testing.T, name string, cmd *exec.Cmd, stdout *os.File) (log *streamtest.Buffer) {
	t.Helper()
	log = new(streamtest.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			said := log.String()
			t.Logf("%s said:\n%s", name, said[max(0, len(said)-8<<10):])
		}
	})
	return log
}

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", patience, otherwise())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		<-ctx.Done()
		cancel()
	}
}

func openPage(t *testing.T, address string) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		t.Fatal("a browser is needed: make deps installs it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 900),
	)
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		stop()
		stopAlloc()
	})
	// The browser lives as long as the context of the first action, so that one
	// has no time-out of its own.
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err := <-started:
		if err != nil {
			t.Fatal("starting the browser: ", err)
		}
	case <-time.After(patience):
		t.Fatal("the browser did not start")
	}
	do(t, ctx, chromedp.Navigate(address))
	return ctx
}

func do(t *testing.T, page context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(page, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func evaluate[T any](t *testing.T, page context.Context, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(page, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func wait(t *testing.T, page context.Context, condition string) {
	t.Helper()
	eventually(t, func() bool { return evaluate[bool](t, page, "Boolean("+condition+")") }, func() string { return "never came true: " + condition })
}
