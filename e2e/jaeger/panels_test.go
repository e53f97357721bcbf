//go:build jaeger

package jaeger_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPanels has a real Prometheus execute every query of the dashboard, and every
// rule, once a server has had its first events: no panel is empty, and no rule fails.
func TestPanels(t *testing.T) {
	rules, err := filepath.Abs("../stack/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	weir, _ := startWeirWith(t, []string{"-source", "orders=http", "-source", "sensor", "-publish-token", token, "-trusted-proxy", "127.0.0.1", "-data", t.TempDir()},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9") // nobody is there: what it loses is told
	prometheus := startPrometheus(t, weir, rules)
	eventually(t, func() bool { return len(ask(t, prometheus, "sse_server_lag")) > 0 }, func() string { return "Prometheus has nothing" })
	page := subscribe(t, weir, "topic=orders&format=json", "203.0.113.7", "page/1.0", "Sec-Fetch-Site: same-origin\r\n")
	page.read(t, 0)
	publish(t, weir, `{"order":1}`)
	page.read(t, 1)
	came := time.Now()
	time.Sleep(450 * time.Millisecond) // until it is on screen
	page.report(t, weir, came)
	_ = page.Close() // and it comes back for what it missed
	publish(t, weir, `{"order":2}`)
	subscribe(t, weir, "topic=orders&format=json&last_event_id="+page.events[0].id, "203.0.113.7", "page/1.0", "").read(t, 1)

	empty := dashboardQueries(t)
	maps.DeleteFunc(empty, func(query, _ string) bool { return absentWhileWell(query) })
	if len(empty) < 30 {
		t.Errorf("%d queries: where are the others?", len(empty))
	}
	eventually(t, func() bool {
		maps.DeleteFunc(empty, func(query, _ string) bool { return len(ask(t, prometheus, query)) > 0 })
		return len(empty) == 0
	}, func() string { return fmt.Sprintf("panels are empty: %q", empty) })

	// The rules, and that there is something for them to look at.
	var told struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Query, Health, LastError string }
			}
		}
	}
	eventually(t, func() bool {
		resp, err := client.Get(prometheus + "/api/v1/rules")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		told.Data.Groups = nil
		return json.NewDecoder(resp.Body).Decode(&told) == nil && len(told.Data.Groups) == 1 && len(told.Data.Groups[0].Rules) > 0 &&
			!slices.ContainsFunc(told.Data.Groups[0].Rules, func(r struct{ Name, Query, Health, LastError string }) bool { return r.Health == "unknown" })
	}, func() string { return fmt.Sprintf("the rules are not executed: %+v", told) })
	metric := regexp.MustCompile(`\b(?:sse|up)(?:_[a-z_]+)?\b(?:\{[^{}]*\})?`)
	for _, r := range told.Data.Groups[0].Rules {
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
		}
		for _, selector := range metric.FindAllString(labels.ReplaceAllString(r.Query, ""), -1) {
			if absentWhileWell(selector) {
				continue
			}
			eventually(t, func() bool { return len(ask(t, prometheus, selector)) > 0 },
				func() string { return fmt.Sprintf("%s looks at %s, and there is none", r.Name, selector) })
		}
	}
	// What cannot be sent is lost, counted, and alerted of.
	eventually(t, func() bool { return len(ask(t, prometheus, `ALERTS{alertname="WeirTelemetryLost"}`)) > 0 },
		func() string { return "nobody is told that the collector is away" })
}

// absentWhileWell reports whether a query finds nothing where no reader lags, or no
// topic was made on demand. TestQuestions asks while one lags.
func absentWhileWell(query string) bool {
	return strings.Contains(query, "sse_server_time_to_loss_seconds") || strings.Contains(query, "[*]")
}

// dashboardQueries returns the queries of the dashboard, and the panel of each.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	b, err := os.ReadFile("../stack/grafana.json")
	if err == nil {
		err = json.Unmarshal(b, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$topic", ".*")
	queries := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries[variables.Replace(target.Expr)] = p.Title
		}
	}
	return queries
}

// labels are what stands in a query and is no metric.
var labels = regexp.MustCompile(`(?:by|on) \([^()]*\)`)
