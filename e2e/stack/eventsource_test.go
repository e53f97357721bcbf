package stack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"weir/e2e/harness"
	"weir/stream"
)

const readToken = "read-here"

// ticket gets a ticket for the topic t.
func ticket(t *testing.T, base string) string {
	t.Helper()
	req, err := http.NewRequest("POST", base+"/ticket?topic=t", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+readToken)
	resp, err := newClient(1, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var minted struct{ Ticket string }
	if err := json.NewDecoder(resp.Body).Decode(&minted); err != nil || minted.Ticket == "" {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return minted.Ticket
}

// readers opens two browsers on a site, each with one plain EventSource: one by a
// ticket, which is in the URL for good, and one by the cookie.
func readers(t *testing.T, base string) map[string]*harness.Tab {
	t.Helper()
	tabs := map[string]*harness.Tab{}
	for name, script := range map[string]string{
		"ticket": fmt.Sprintf(`window.source = new EventSource('/t/t?ticket=%s')`, ticket(t, base)),
		"cookie": fmt.Sprintf(`document.cookie = 'weir=%s; path=/'; window.source = new EventSource('/t/t')`, readToken),
	} {
		tab := harness.OpenTab(t, "about:blank")
		tab.Before(harness.Listen)
		tab.Go(base + "/livez")
		harness.Evaluate[chromedp.Void](tab, "%s; void 0", script)
		tab.Wait(`source.readyState === EventSource.OPEN`)
		tabs[name] = tab
	}
	return tabs
}

// survive has events published all the while, brings about each misfortune in turn,
// and waits after each until both browsers get events again. In the end each must
// have had every event once, in order, and no gap.
func survive(t *testing.T, base string, misfortunes []misfortune) {
	t.Helper()
	tabs := readers(t, base)
	load := startLoad(t, base, "t", 50, nil)
	for _, tab := range tabs {
		tab.Wait(`heard.length > 0`)
	}
	for _, m := range misfortunes {
		m.happen()
		for name, tab := range tabs {
			t.Logf("%s: %s: %d events", m.name, name, harness.Evaluate[int](tab, `heard.length`))
			tab.Wait(`source.readyState !== EventSource.CLOSED`)
			tab.Wait(`heard.length > %d`, harness.Evaluate[int](tab, `heard.length`)+5)
		}
	}
	load.stop()
	var last string
	client := newClient(1, "")
	harness.Eventually(t, func() bool {
		id, _, err := publish(client, base, "t", `{"seq":-1}`)
		last = id
		return err == nil
	}, "the last event could not be published")
	for name, tab := range tabs {
		tab.Wait(`heard.at(-1).id === %q`, last)
		var ids []string
		for _, h := range tab.Heard("/t/t") {
			if h.Type != "message" {
				t.Errorf("%s: was told %+v", name, h)
			}
			ids = append(ids, h.ID)
		}
		if len(slices.Compact(slices.Sorted(slices.Values(ids)))) != len(ids) {
			t.Errorf("%s: %d events came, some twice", name, len(ids))
		}
		for id, n := range load.acked {
			if compareIDs(id, ids[0]) > 0 && !slices.Contains(ids, id) {
				t.Errorf("%s: event %d (%s) is lost", name, n, id)
			}
		}
		if !slices.IsSortedFunc(ids, compareIDs) {
			t.Errorf("%s: the events came out of order", name)
		}
	}
}

func compareIDs(a, b string) int {
	x, errX := stream.ParseID(a)
	y, errY := stream.ParseID(b)
	if err := errors.Join(errX, errY); err != nil {
		panic(err)
	}
	return x.Compare(y)
}

// A misfortune is something that ends streams.
type misfortune struct {
	name   string
	happen func()
}

// A plain EventSource comes back by itself with all that it began with: the ticket in
// its URL, or the cookie. One node, which is killed and restarted.
func TestPlainEventSourceSurvivesRestarts(t *testing.T) {
	t.Parallel()
	n := startNode(t, "one", "-source", "t=http", "-data", t.TempDir(), "-subscribe-token", readToken, "-retry", "200ms", "-drain", "500ms", "-publish-rate", "0")
	survive(t, "http://"+n.Addr, []misfortune{
		{"killed", func() { n.Kill(); n.Start(t) }},
		{"restarted", func() { n.Terminate(t); n.Start(t) }},
	})
}

// Two nodes behind nginx: streams are cut, nginx is killed, one node is killed, and
// both are restarted one after the other.
func TestPlainEventSourceSurvivesARollingRestart(t *testing.T) {
	t.Parallel()
	redis := harness.StartRedis(t).URL()
	var nodes []*harness.Node
	for _, name := range []string{"one", "two"} {
		nodes = append(nodes, startNode(t, name, "-redis", redis, "-source", "t=http", "-subscribe-token", readToken, "-retry", "200ms", "-drain", "1s", "-publish-rate", "0"))
	}
	p := harness.StartProxy(t, nodes...)
	restart := func(n *harness.Node) func() { return func() { n.Terminate(t); n.Start(t) } }
	survive(t, p.URL(), []misfortune{
		{"streams cut", func() { p.KillWorkers(t) }},
		{"nginx killed", func() { p.Crash(t); p.Start(t) }},
		{"node one killed", func() { nodes[0].Kill(); nodes[0].Start(t) }},
		{"node one restarted", restart(nodes[0])},
		{"node two restarted", restart(nodes[1])},
	})
}
