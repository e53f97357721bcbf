package stack_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/e2e/harness"
)

// The versions of HTTP that browsers speak with nginx.
var versions = map[string]int{"HTTP/1.1": 1, "HTTP/2.0": 2}

func TestEventsPassAtOnce(t *testing.T) {
	t.Parallel()
	n := startNode(t, "one", "-source", "t=http", "-source", "sensor")
	p := harness.StartProxy(t, n)
	for protocol, version := range versions {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			begun := time.Now()
			first := subscribe(t, "first", newClient(version, ""), p.URL()+"/sse-stream?topic=sensor&format=json")
			first.connected(t, 1)
			if d := time.Since(begun); d > time.Second {
				t.Errorf("the stream's first bytes took %v", d)
			}
			s := subscribe(t, "subscriber", newClient(version, ""), p.URL()+"/sse-stream?topic=t&format=json")
			s.connected(t, 1)
			if s.protocol != protocol {
				t.Fatalf("the stream came over %s, want %s", s.protocol, protocol)
			}
			// Each event is published when the one before has arrived: a proxy that
			// held one back, for more to fill its buffer, would never get more.
			client := newClient(1, "")
			slowest := time.Duration(0)
			for i := range 50 {
				published := time.Now()
				id, _, err := publish(client, p.URL(), "t", fmt.Sprintf(`{"seq":%d}`, i))
				if err != nil {
					t.Fatal(err)
				}
				s.has(t, id)
				slowest = max(slowest, time.Since(published))
			}
			if slowest > time.Second {
				t.Errorf("one event took %v", slowest)
			}
			if len(s.endings) > 0 {
				t.Errorf("the stream ended: %q", s.endings)
			}
		})
	}
}

// The longest test, and it cannot be hurried: the time-out is the one in the file.
func TestHeartbeatOutlivesTheReadTimeout(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	var limit time.Duration
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:proxy_read_timeout|send_timeout) (\S+);`).FindAllStringSubmatch(string(text), -1) {
		d, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		limit = max(limit, d)
	}
	if limit == 0 {
		t.Fatal("nginx.conf sets no time-outs")
	}
	n := startNode(t, "one", "-source", "t=http") // which says nothing
	p := harness.StartProxy(t, n)
	for protocol, version := range versions {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			t.Parallel()
			s := subscribe(t, "subscriber", newClient(version, ""), p.URL()+"/sse-stream?topic=t&format=json")
			s.connected(t, 1)
			begun := time.Now()
			s.until(t, "a ping after the time-out", limit+harness.Patience, func() bool {
				return time.Since(begun) > limit && s.pings >= 4 || len(s.endings) > 0
			})
			if len(s.endings) > 0 {
				t.Errorf("the stream ended after %v: %q", time.Since(begun), s.endings)
			}
		})
	}
}

func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	n := startNode(t, "one", "-source", "t=http")
	p := harness.StartProxy(t, n)
	var subscribers []*subscriber
	for i := range 8 {
		subscribers = append(subscribers, subscribe(t, fmt.Sprint("subscriber ", i), newClient(1+i%2, ""), p.URL()+"/sse-stream?topic=t&format=json"))
	}
	for _, s := range subscribers {
		s.connected(t, 1)
	}
	load := startLoad(t, p.URL(), "t", 60, subscribers)
	for round := range 2 {
		old, _ := p.Workers()
		p.Signal(t, syscall.SIGHUP)
		// The old workers are given time for their streams, then ended.
		harness.Eventually(t, func() bool {
			_, exited := p.Workers()
			for pid := range old {
				if !exited[pid] {
					return false
				}
			}
			return true
		}, "the old workers did not end")
		for _, s := range subscribers {
			s.connected(t, 2+round)
		}
	}
	load.settle(t, p.URL(), "t", subscribers)
	if load.unsure > 0 {
		t.Errorf("%d requests to publish failed during the reloads", load.unsure)
	}
}

func TestNodeKilledUnderLoad(t *testing.T) {
	t.Parallel()
	redis := harness.StartRedis(t).URL()
	nodes := []*harness.Node{startNode(t, "one", "-redis", redis, "-source", "t=http"), startNode(t, "two", "-redis", redis, "-source", "t=http")}
	p := harness.StartProxy(t, nodes...)
	var subscribers []*subscriber
	for i := range 8 {
		subscribers = append(subscribers, subscribe(t, fmt.Sprint("subscriber ", i), newClient(1+i%2, ""), p.URL()+"/sse-stream?topic=t&format=json"))
	}
	used := map[string]int{}
	for _, s := range subscribers {
		s.connected(t, 1)
		used[s.nodes[0]]++
	}
	if used["one"] != 4 || used["two"] != 4 {
		t.Errorf("eight streams are spread over the nodes as %v", used)
	}
	load := startLoad(t, p.URL(), "t", 60, subscribers)
	nodes[0].Kill()
	for _, s := range subscribers {
		if s.nodes[0] == "one" {
			s.connected(t, 2)
		}
	}
	load.settle(t, p.URL(), "t", subscribers)
	for _, s := range subscribers {
		if last := s.nodes[len(s.nodes)-1]; last != "two" {
			t.Errorf("%s ended up on node %s", s.name, last)
		}
	}
}

func TestRollingRestartUnderLoad(t *testing.T) {
	t.Parallel()
	redis := harness.StartRedis(t).URL()
	nodes := []*harness.Node{
		startNode(t, "one", "-redis", redis, "-source", "t=http", "-drain", "2s"),
		startNode(t, "two", "-redis", redis, "-source", "t=http", "-drain", "2s"),
	}
	p := harness.StartProxy(t, nodes...)
	var subscribers []*subscriber
	for i := range 12 {
		subscribers = append(subscribers, subscribe(t, fmt.Sprint("subscriber ", i), newClient(1+i%2, ""), p.URL()+"/sse-stream?topic=t&format=json"))
	}
	for _, s := range subscribers {
		s.connected(t, 1)
	}
	load := startLoad(t, p.URL(), "t", 60, subscribers)
	for _, n := range nodes {
		n.Terminate(t)
		n.Start(t)
		// The other node's turn comes once everybody is on one again.
		harness.Eventually(t, func() bool {
			open := 0
			for _, s := range subscribers {
				s.mu.Lock()
				if len(s.nodes) > countStreams(s.endings) {
					open++
				}
				s.mu.Unlock()
			}
			return open == len(subscribers)
		}, "not every subscriber came back")
	}
	load.settle(t, p.URL(), "t", subscribers)
	for _, s := range subscribers {
		// In a drain a stream ends after a whole event, and as the protocol wants it.
		for _, ending := range s.endings {
			if ending != io.EOF.Error() && !strings.HasPrefix(ending, "503") {
				t.Errorf("%s: a stream ended by %q", s.name, ending)
			}
		}
		if len(s.nodes) < 2 {
			t.Errorf("%s was on no node that restarted", s.name)
		}
	}
}

// countStreams tells the endings of streams from refusals.
func countStreams(endings []string) int {
	return len(slices.DeleteFunc(slices.Clone(endings), func(e string) bool {
		return len(e) > 3 && e[3] == ' ' && e[0] >= '3' && e[0] <= '5'
	}))
}

func TestDrainingNodeIsPassedOver(t *testing.T) {
	t.Parallel()
	redis := harness.StartRedis(t).URL()
	nodes := []*harness.Node{
		startNode(t, "one", "-redis", redis, "-source", "t=http", "-drain", "1m"),
		startNode(t, "two", "-redis", redis, "-source", "t=http"),
	}
	p := harness.StartProxy(t, nodes...)
	// Streams on both keep the first in its drain for a while.
	var held []*subscriber
	for i := range 8 {
		held = append(held, subscribe(t, fmt.Sprint("held ", i), newClient(1, ""), p.URL()+"/sse-stream?topic=t&format=json"))
	}
	for _, s := range held {
		s.connected(t, 1)
	}
	nodes[0].Signal(t, syscall.SIGTERM)
	harness.Eventually(t, func() bool {
		resp, err := harness.Direct.Get("http://" + nodes[0].Addr + "/readyz")
		if err != nil {
			t.Fatal("node one has ended already: ", err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, "node one does not drain")
	for i := range 6 {
		s := subscribe(t, fmt.Sprint("newcomer ", i), newClient(1, ""), p.URL()+"/sse-stream?topic=t&format=json")
		s.connected(t, 1)
		if s.nodes[0] != "two" || len(s.endings) > 0 {
			t.Errorf("a newcomer was sent to node %v, after %q", s.nodes, s.endings)
		}
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	// startNode trusts 127.0.0.1, which is nginx.
	n := startNode(t, "one", "-source", "t=http", "-max-conns-per-client", "1")
	p := harness.StartProxy(t, n)
	path := p.URL() + "/sse-stream?topic=t&format=json"
	subscribe(t, "here", newClient(1, ""), path).connected(t, 1)
	refused := func(header string) int {
		req, _ := http.NewRequest("GET", path, nil)
		if header != "" {
			req.Header.Set("X-Forwarded-For", header)
		}
		resp, err := newClient(1, "").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Error("a refusal lost its Retry-After on the way")
		}
		return resp.StatusCode
	}
	for _, forged := range []string{"", "192.0.2.7", "192.0.2.7, 198.51.100.1", "127.0.0.1", "nonsense", strings.Repeat("192.0.2.7,", 200) + "192.0.2.8"} {
		if status := refused(forged); status != http.StatusTooManyRequests {
			t.Errorf("a second stream with X-Forwarded-For %.40q was answered %d, want 429", forged, status)
		}
	}
	// Another client has a stream of its own, though both come from nginx.
	subscribe(t, "elsewhere", newClient(1, "127.0.0.2"), path).connected(t, 1)
}

func TestOtherRoutesThroughTheProxy(t *testing.T) {
	t.Parallel()
	n := startNode(t, "one", "-source", "t=http")
	p := harness.StartProxy(t, n)
	client := newClient(2, "")
	client.Timeout = harness.Patience
	get := func(url string) (*http.Response, string) {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp, string(body)
	}
	_, page := get(p.URL() + "/")
	script := regexp.MustCompile(`/assets/app-[0-9a-z]+\.js`).FindString(page)
	if script == "" {
		t.Fatal("the page names no script")
	}
	for path, want := range map[string]int{
		"/": 200, script: 200, "/livez": 200, "/readyz": 200, "/sse-health": 200,
		"/metrics": 404, "/sse-metrics": 404, "/debug/pprof/": 404, "/debug/pprof/profile": 404,
	} {
		resp, _ := get(p.URL() + path)
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
		if want == 200 && resp.Header.Get("X-Content-Type-Options") == "" {
			t.Errorf("GET %s: the node's security headers are lost", path)
		}
	}
	resp, _ := get("http://" + p.Plain + "/sse-stream?topic=t")
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusPermanentRedirect || to != "https://127.0.0.1/sse-stream?topic=t" {
		t.Errorf("plain HTTP: %s to %q", resp.Status, to)
	}
	if _, _, err := publish(client, p.URL(), "t", `{"x":"`+strings.Repeat("x", 2<<20)+`"}`); err == nil || !strings.HasPrefix(err.Error(), "413") {
		t.Errorf("publishing two megabytes: %v, want 413", err)
	}
	// The log tells of a stream when it ends, without its query.
	s := subscribe(t, "logged", newClient(1, ""), p.URL()+"/sse-stream?topic=t&format=json&ticket=secret")
	s.connected(t, 1)
	n.Terminate(t)
	var log string
	harness.Eventually(t, func() bool {
		b, err := os.ReadFile(p.Dir + "/access.log")
		log = string(b)
		return err == nil && strings.Contains(log, "GET /sse-stream HTTP/1.1")
	}, "the stream is not in the log")
	if strings.Contains(log, "secret") {
		t.Errorf("the log tells a ticket:\n%s", log)
	}
}
