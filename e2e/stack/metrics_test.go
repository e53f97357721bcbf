package stack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"weir/e2e/harness"
)

func TestPrometheusTakesItsFiles(t *testing.T) {
	t.Parallel()
	promtool := harness.Find(t, "promtool")
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// Each alert has a case in which it fires.
	cases := read(t, "alerts_test.yml")
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, "alerts.yml"), -1) {
		if !strings.Contains(cases, "- alertname: "+m[1]+"\n") {
			t.Errorf("alerts_test.yml has no case in which %s fires", m[1])
		}
	}
	// The dashboard's queries are read by Prometheus as rules would be.
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, q := range dashboard(t).queries() {
		q = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$topic", ".*").Replace(q)
		text, _ := json.Marshal(q)
		fmt.Fprintf(&rules, "  - {record: 'q%d', expr: %s}\n", i, text)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules, of the dashboard: %v\n%s", err, out)
	}
}

// increase() of a series that begins with its first incident is 0: every query of a
// counter's increase takes the whole value of a series that is new.
func TestTheFirstIncidentCounts(t *testing.T) {
	t.Parallel()
	queries := dashboard(t).queries()
	_, table, _ := strings.Cut(read(t, "../../README.md"), "<!-- questions -->")
	table, _, _ = strings.Cut(table, "<!-- /questions -->")
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1) {
		queries = append(queries, m[1])
	}
	increase := regexp.MustCompile(`increase\((\w*(?:\{[^}]*\})?)\[([^]]+)\]\)`)
	found := 0
	for _, q := range queries {
		for _, m := range increase.FindAllStringSubmatch(q, -1) {
			found++
			selector, window := m[1], m[2]
			if want := fmt.Sprintf("(%[1]s unless last_over_time(%[1]s[1h] offset %[2]s)) or increase(", selector, window); !strings.Contains(q, want) && !strings.Contains(selector, "_bucket") {
				t.Errorf("%s\nmisses the first of a series: want %s…", q, want)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d queries of an increase: where are the others?", found)
	}
}

type grafana struct {
	UID, Title string
	Panels     []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr string }
	}
}

func dashboard(t *testing.T) grafana {
	t.Helper()
	var g grafana
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g grafana) queries() []string {
	var queries []string
	for _, p := range g.Panels {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	return queries
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	g := dashboard(t)
	if g.UID != "weir" {
		t.Errorf("uid %q", g.UID)
	}
	ids := map[int]bool{}
	cells := map[[2]int]string{}
	for _, p := range g.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q: ID %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q or outside, at %d, %d", p.Title, other, x, y)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

// The names in alerts and dashboard are names that the server serves, and every
// one of its own has a panel.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	type instrument struct {
		Name             string `yaml:"metric_name"`
		Instrument, Unit string
	}
	var registry struct{ Groups []instrument }
	if err := yaml.Unmarshal([]byte(read(t, "../../telemetry/registry/metrics.yaml")), &registry); err != nil {
		t.Fatal(err)
	}
	registry.Groups = append(registry.Groups, instrument{"http.server.request.duration", "histogram", "s"})
	known := map[string]string{} // Prometheus's names, and the metric of each
	for _, m := range registry.Groups {
		name := strings.ReplaceAll(m.Name, ".", "_")
		switch m.Unit {
		case "s":
			name += "_seconds"
		case "By":
			name += "_bytes"
		}
		switch m.Instrument {
		case "counter":
			known[name+"_total"] = m.Name
		case "histogram":
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[name+part] = m.Name
			}
		default:
			known[name] = m.Name
		}
	}

	// What a server says when it has had something to do.
	n := startNode(t, "one", "-source", "t=http")
	s := subscribe(t, "subscriber", harness.Direct, "http://"+n.Addr+"/sse-stream?topic=t&format=json")
	s.connected(t, 1)
	id, _, err := publish(harness.Direct, "http://"+n.Addr, "t", `{"seq":1}`)
	if err != nil {
		t.Fatal(err)
	}
	s.has(t, id)
	served := map[string]bool{}
	harness.Eventually(t, func() bool {
		resp, err := harness.Direct.Get("http://" + n.Addr + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllStringSubmatch(string(text), -1) {
			served[m[1]] = true
		}
		return served["sse_server_events_delivered_total"] && served["sse_server_delivery_duration_seconds_bucket"]
	}, "/metrics does not tell of a delivery")
	for name := range served {
		if strings.HasPrefix(name, "sse_") && known[name] == "" {
			t.Errorf("the server serves %s, which the registry does not explain", name)
		}
	}

	name := regexp.MustCompile(`\b(?:sse|go|http|process)_[a-z_]+`)
	shown := map[string]bool{}
	label := regexp.MustCompile(`\{[^{}]*\}|(?:by|on) \([^()]*\)`)
	for _, q := range dashboard(t).queries() {
		for _, n := range name.FindAllString(label.ReplaceAllString(q, ""), -1) {
			if !served[n] && known[n] == "" {
				t.Errorf("the dashboard shows %s, which there is not", n)
			}
			shown[known[n]] = true
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "alerts.yml")), &rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		for _, n := range name.FindAllString(label.ReplaceAllString(r.Expr, ""), -1) {
			if !served[n] && known[n] == "" {
				t.Errorf("%s looks at %s, which there is not", r.Alert, n)
			}
		}
	}
	for _, m := range registry.Groups {
		if !shown[m.Name] {
			t.Errorf("the dashboard has no panel for %s", m.Name)
		}
	}
}

// Jaeger's links search for attributes that spans have.
func TestJaegerLinks(t *testing.T) {
	t.Parallel()
	var registry struct {
		Groups []struct{ Attributes []struct{ Ref string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../telemetry/registry/spans.yaml")), &registry); err != nil {
		t.Fatal(err)
	}
	attributes := map[string]bool{}
	for _, s := range registry.Groups {
		for _, a := range s.Attributes {
			attributes[a.Ref] = true
		}
	}
	var ui struct {
		LinkPatterns []struct{ Type, Key, URL, Text string }
		Menu         []struct {
			Items []struct{ Label, URL string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "jaeger-ui.json")), &ui); err != nil {
		t.Fatal(err)
	}
	check := func(link string) {
		// The UI puts values into "#{…}", encoded for a URL.
		link = regexp.MustCompile(`#\{[^}]*\}`).ReplaceAllStringFunc(link, func(m string) string {
			if key := m[2 : len(m)-1]; !attributes[key] {
				t.Errorf("%s: no span has %s", link, key)
			}
			return "1"
		})
		u, err := url.Parse(link)
		if err != nil || u.Path != "/search" || u.Query().Get("service") != "weir" {
			t.Errorf("%s: is no search", link)
			return
		}
		tags := map[string]string{}
		if text := u.Query().Get("tags"); text != "" {
			if err := json.Unmarshal([]byte(text), &tags); err != nil {
				t.Errorf("%s: tags: %v", link, err)
			}
		}
		for key := range tags {
			if !attributes[key] {
				t.Errorf("%s: no span has %s", link, key)
			}
		}
	}
	keys := map[string]bool{}
	for _, p := range ui.LinkPatterns {
		if p.Type != "tags" || !attributes[p.Key] {
			t.Errorf("pattern %q: no span has %s", p.Text, p.Key)
		}
		keys[p.Key] = true
		check(p.URL)
	}
	for _, key := range []string{"sse.connection.id", "sse.event.id", "session.id"} {
		if !keys[key] {
			t.Errorf("nothing leads on from %s", key)
		}
	}
	for _, m := range ui.Menu {
		for _, item := range m.Items {
			check(item.URL)
		}
	}
}
