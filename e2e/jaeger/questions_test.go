//go:build jaeger

package jaeger_test

import (
	"bufio"
	"bytes"
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
)

// A question is a row of the README's table.
type question struct {
	text               string
	prometheus, jaeger []string // what stands in backticks
}

// questions reads the README's table.
func questions(t *testing.T) (list []question) {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "<!-- questions -->")
	table, _, found := strings.Cut(after, "<!-- /questions -->")
	if !found {
		t.Fatal("the README has no table of questions")
	}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "Question" {
			continue
		}
		q := question{text: strings.TrimSpace(cells[1])}
		for i, to := range []*[]string{&q.prometheus, &q.jaeger} {
			for _, m := range code.FindAllStringSubmatch(cells[2+i], -1) {
				if !strings.HasPrefix(m[1], "/") { // a path of Weir's own
					*to = append(*to, m[1])
				}
			}
		}
		list = append(list, q)
	}
	return list
}

// An sse is one raw stream.
type sse struct {
	net.Conn
	connection, proof, session string
	events                     []event
}

type event struct{ id, traceparent string }

// subscribe opens a stream as a program does that comes from an address.
func subscribe(t *testing.T, weir, query, from, agent, more string) *sse {
	t.Helper()
	u, err := url.Parse(weir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s := &sse{Conn: c}
	fmt.Fprintf(c, "GET /sse-stream?%s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nUser-Agent: %s\r\n%s\r\n", query, u.Host, from, agent, more)
	return s
}

// read reads until so many events have come.
func (s *sse) read(t *testing.T, n int) {
	t.Helper()
	r := bufio.NewReader(s)
	_ = s.SetReadDeadline(time.Now().Add(patience))
	for len(s.events) < n || s.connection == "" {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(s.events), n, err)
		}
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		var m struct{ Connection, Traceparent, Session, ID string }
		if !ok || json.Unmarshal([]byte(data), &m) != nil {
			continue
		}
		if m.Connection != "" {
			s.connection, s.proof, s.session = m.Connection, m.Traceparent, m.Session
		} else if m.ID != "" {
			s.events = append(s.events, event{m.ID, m.Traceparent})
		}
	}
}

const token = "questions"

func publish(t *testing.T, weir, data string) {
	t.Helper()
	req, err := http.NewRequest("POST", weir+"/publish?topic=orders", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
		t.Fatalf("publishing: %s %s", resp.Status, body)
	}
}

// report tells, as a page does, that events were on screen 400 ms after they came.
func (s *sse) report(t *testing.T, weir string, came time.Time) {
	t.Helper()
	ms := func(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }
	var reports []map[string]any
	for _, e := range s.events {
		reports = append(reports, map[string]any{"topic": "orders", "id": e.id, "traceparent": e.traceparent, "received": ms(came), "shown": ms(came.Add(400 * time.Millisecond))})
	}
	body, _ := json.Marshal(map[string]any{"now": ms(time.Now()), "connection": s.connection, "proof": s.proof, "reports": reports})
	req, err := http.NewRequest("POST", weir+"/telemetry/browser", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the report gets %s", resp.Status)
	}
}

// startPrometheus runs one that scrapes Weir each second, and executes the rules.
func startPrometheus(t *testing.T, weir string, rules ...string) (address string) {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is needed: make deps installs it")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	u, _ := url.Parse(weir)
	files, _ := json.Marshal(rules) // strings can be encoded
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: %s\nscrape_configs:\n  - job_name: weir\n    static_configs: [{targets: [%q]}]\n", files, u.Host)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	start(t, "prometheus", exec.Command(path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr), nil)
	return "http://" + addr
}

type sample struct {
	Metric map[string]string
	Value  [2]any
}

// ask executes a query.
func ask(t *testing.T, prometheus, query string) []sample {
	t.Helper()
	resp, err := client.Get(prometheus + "/api/v1/query?" + url.Values{"query": {query}}.Encode())
	if err != nil {
		return nil // it is starting
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []sample }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil
	}
	if answer.Status != "success" {
		t.Fatalf("%s: %s", query, answer.Error)
	}
	return slices.DeleteFunc(answer.Data.Result, func(s sample) bool { return s.Value[1] == "NaN" })
}

// find executes a row's recipe: parameters of a search, or tags.
func (s server) find(t *testing.T, recipe []string) []trace {
	t.Helper()
	query, tags := url.Values{"service": {"weir"}, "limit": {"200"}}, map[string]string{}
	for _, part := range recipe {
		key, value, _ := strings.Cut(part, "=")
		if slices.Contains([]string{"operation", "minDuration", "service"}, key) {
			query.Set(key, value)
		} else {
			tags[key] = value
		}
	}
	if len(tags) > 0 {
		b, _ := json.Marshal(tags)
		query.Set("tags", string(b))
	}
	return s.search(t, query)
}

// TestQuestions puts a server into every situation that the README's table asks
// about, and executes the table.
func TestQuestions(t *testing.T) {
	j := startJaeger(t)
	weir, _ := startWeirWith(t, []string{
		"-source", "orders=http", "-source", "broken=exec:false", "-publish-token", token, "-history", "64", "-write-timeout", "3s",
		"-trusted-proxy", "127.0.0.1", "-node", "node-a", "-publish-rate", "0",
	}, "OTEL_EXPORTER_OTLP_ENDPOINT="+j.otlp)
	prometheus := startPrometheus(t, weir)
	eventually(t, func() bool { return len(ask(t, prometheus, "sse_server_lag")) > 0 }, func() string { return "Prometheus has nothing" })

	// A page that shows each of sixteen events 400 ms late.
	page := subscribe(t, weir, "topic=orders&format=json", "203.0.113.7", "page/1.0", "Sec-Fetch-Site: same-origin\r\n")
	page.read(t, 0)
	for i := range 16 {
		publish(t, weir, fmt.Sprintf(`{"order":%d}`, i))
		page.events = nil
		page.read(t, 1)
		came := time.Now()
		time.Sleep(450 * time.Millisecond) // until it is on screen
		page.report(t, weir, came)
	}
	// It comes back, and says who it is.
	_ = page.Close()
	again := subscribe(t, weir, "topic=orders&format=json", "203.0.113.7", "page/1.0", "Baggage: session.id="+page.session+"\r\n")
	again.read(t, 0)
	go func() { _, _ = io.Copy(io.Discard, again) }() // which it does until the end
	_ = again.SetReadDeadline(time.Time{})
	// Somebody comes back too late, somebody asks for a topic that there is not,
	// somebody is killed, and somebody reads nothing.
	for i := range 100 {
		publish(t, weir, fmt.Sprintf(`{"order":%d}`, 100+i))
	}
	late := subscribe(t, weir, "topic=orders&format=json&last_event_id="+page.events[0].id, "203.0.113.8", "late/1.0", "")
	late.read(t, 1)
	_ = late.Close()
	time.Sleep(2 * time.Second) // refusals share the limit of the other requests
	_ = subscribe(t, weir, "topic=nothing", "203.0.113.8", "lost/1.0", "")
	killed := subscribe(t, weir, "topic=orders&format=json", "203.0.113.6", "killed/1.0", "")
	killed.read(t, 0)
	_ = killed.Conn.(*net.TCPConn).SetLinger(0) // as a system does whose program is killed with something unread
	_ = killed.Close()
	stuck := subscribe(t, weir, "topic=orders&format=json", "203.0.113.9", "stuck/1.0", "")
	_ = stuck.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	big := strings.Repeat("x", 60<<10)
	lagged, losing := false, false
	for i := 0; i < 200; i++ {
		publish(t, weir, `{"big":"`+big+`"}`)
		lagged = lagged || len(ask(t, prometheus, "max by (instance, sse_topic) (sse_server_lag) > 10")) > 0
		losing = losing || len(ask(t, prometheus, "min by (sse_topic) (sse_server_time_to_loss_seconds)")) > 0
		time.Sleep(20 * time.Millisecond)
	}
	if !lagged {
		t.Error("a client that reads nothing had no lag")
	}

	substitute := strings.NewReplacer("CONNECTION", page.connection, "SESSION", page.session)
	checks := map[string]func(t *testing.T, q question) (done bool, got string){
		"Where did 300 ms go?": func(t *testing.T, q question) (bool, string) {
			found := j.find(t, q.jaeger)
			n := 0
			for _, tr := range found {
				for _, s := range tr.named("event orders") {
					if len(tr.named("process orders")) == 1 && s.length() >= 400*time.Millisecond {
						n++
					}
				}
				tr.sound(t)
			}
			return n == 16, fmt.Sprintf("%d of 16 events", n)
		},
		"Who is slow?": func(t *testing.T, q question) (bool, string) {
			found := j.find(t, q.jaeger) // the metric has been seen while it was so
			return len(found) == 1 && found[0].Spans[0].tag("client.address") == "203.0.113.9", fmt.Sprint(found)
		},
		"From which address, with what program?": func(t *testing.T, q question) (bool, string) {
			found := j.find(t, q.jaeger)
			return len(found) > 0 && slices.ContainsFunc(found[0].Spans, func(s span) bool { return s.tag("user_agent.original") == "stuck/1.0" }), fmt.Sprint(found)
		},
		"Who was cut off, and why?": func(t *testing.T, q question) (bool, string) {
			reasons := map[any]bool{}
			for _, tr := range j.find(t, q.jaeger) {
				for _, s := range tr.named("stream orders") {
					reasons[s.tag("sse.close.reason")] = true
				}
			}
			told := ask(t, prometheus, q.prometheus[0])
			return reasons["reset"] && len(told) >= 2, fmt.Sprint(reasons, told)
		},
		"What did a client miss?": func(t *testing.T, q question) (bool, string) {
			found, told := j.find(t, q.jaeger), ask(t, prometheus, q.prometheus[0])
			return len(found) > 0 && len(told) > 0, fmt.Sprint(found, told)
		},
		"On which node and release?": func(t *testing.T, q question) (bool, string) {
			found, told := j.find(t, []string{substitute.Replace(q.jaeger[0])}), ask(t, prometheus, q.prometheus[0])
			return len(found) > 0 && found[0].process("service.instance.id") == "node-a" && found[0].process("service.version") != nil && len(told) == 1 && told[0].Metric["service_version"] == found[0].process("service.version"), fmt.Sprint(found, told)
		},
		"What did one user see, across reconnects?": func(t *testing.T, q question) (bool, string) {
			connections := map[any]bool{}
			for _, tr := range j.find(t, []string{q.jaeger[0], substitute.Replace(q.jaeger[1])}) {
				for _, s := range tr.named("stream orders") {
					connections[s.tag("sse.connection.id")] = true
				}
			}
			return connections[page.connection] && connections[again.connection], fmt.Sprint(connections)
		},
		"When does somebody begin to lose events?": func(t *testing.T, q question) (bool, string) {
			return losing && q.prometheus[0] == "min by (sse_topic) (sse_server_time_to_loss_seconds)", fmt.Sprint(losing, q.prometheus) // asked while somebody lagged
		},
		"Who is turned away, and why?": func(t *testing.T, q question) (bool, string) {
			found, told := j.find(t, q.jaeger), ask(t, prometheus, q.prometheus[0])
			return len(found) == 1 && len(told) == 1 && told[0].Metric["sse_reject_reason"] == "topic", fmt.Sprint(found, told)
		},
		"Is a source ill?": func(t *testing.T, q question) (bool, string) {
			for _, recipe := range q.prometheus {
				if told := ask(t, prometheus, recipe); len(told) != 1 || told[0].Metric["sse_topic"] != "broken" {
					return false, fmt.Sprint(recipe, told)
				}
			}
			return true, ""
		},
	}
	for _, q := range questions(t) {
		t.Run(q.text, func(t *testing.T) {
			check := checks[q.text]
			if check == nil { // asked of Prometheus alone
				check = func(t *testing.T, q question) (bool, string) {
					if len(q.prometheus) == 0 || len(q.jaeger) > 0 {
						t.Fatal("nobody checks this row")
					}
					told := ask(t, prometheus, q.prometheus[0])
					return len(told) > 0, fmt.Sprint(told)
				}
			}
			var got string
			eventually(t, func() (done bool) { done, got = check(t, q); return done }, func() string { return "the recipe finds " + got })
		})
	}
}

// process returns an attribute of the resource.
func (tr trace) process(key string) any {
	for _, p := range tr.Processes {
		for _, tag := range p.Tags {
			if tag.Key == key {
				return tag.Value
			}
		}
	}
	return nil
}
