package stack_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"weir/e2e/harness"
)

// What a page reports and asks of its own stream goes through nginx to the node that
// has the stream, whichever that is: the journey ends in the page.
func TestJourneysEndInThePageOfEachNode(t *testing.T) {
	t.Parallel()
	redis := harness.StartRedis(t).URL()
	var nodes []*harness.Node
	for _, name := range []string{"one", "two"} {
		nodes = append(nodes, startNode(t, name, "-redis", redis, "-source", "t=http"))
	}
	p := harness.StartProxy(t, nodes...)
	// least_conn sends the second page where the first is not.
	var on []string
	for range nodes {
		page := harness.OpenTab(t, p.URL()+"/")
		page.Do(chromedp.Click(chromedp.CSS("#connect"), chromedp.NodeVisible))
		page.Wait(`document.body.dataset.state === 'connected' && ['one', 'two'].includes(document.getElementById('stream-node').textContent)`)
		node := harness.Evaluate[string](page, `document.getElementById('stream-node').textContent`)
		on = append(on, node)
		for range 5 { // any one might have come to the right node by chance
			id, _, err := publish(newClient(1, ""), p.URL(), "t", `{"seq":1}`)
			if err != nil {
				t.Fatal(err)
			}
			page.Wait(`document.querySelector('#sse-feed [data-id="%s"]')`, id)
			page.Do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`#sse-feed [data-id="%s"]`, id)), chromedp.NodeVisible))
			page.Wait(`document.querySelector('#journey .journey')?.dataset.eventId === %q && document.querySelector('#journey .waterfall [data-service="weir-browser"]')`, id)
		}
		if text := metricsOf(t, node, nodes); !strings.Contains(text, `sse_client_delivery_duration_seconds_count{sse_topic="t"} 5`) {
			t.Errorf("node %s does not count five events in the page", node)
		}
	}
	if slices.Sort(on); !slices.Equal(on, []string{"one", "two"}) {
		t.Errorf("the pages are on the nodes %v, want one on each", on)
	}
	for _, n := range nodes {
		for _, line := range strings.Split(metricsOf(t, n.Name, nodes), "\n") {
			if strings.HasPrefix(line, "sse_client_reports_rejected_total{") && !strings.HasSuffix(line, " 0") {
				t.Errorf("node %s: %s", n.Name, line)
			}
		}
	}
}

func metricsOf(t *testing.T, name string, nodes []*harness.Node) string {
	t.Helper()
	n := nodes[slices.IndexFunc(nodes, func(n *harness.Node) bool { return n.Name == name })]
	resp, err := harness.Direct.Get("http://" + n.Addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names.conf, which the test above has its own of, has an upstream for each node of
// nodes.conf.
func TestEachNodeHasAName(t *testing.T) {
	t.Parallel()
	names, err := os.ReadFile("nginx/weir/names.conf")
	if err != nil {
		t.Fatal(err)
	}
	servers := func(text string) (found []string) {
		for _, line := range strings.Split(text, "\n") {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "server" {
				found = append(found, fields[1])
			}
		}
		return found
	}
	if got, want := servers(string(names)), servers(read(t, "nginx/weir/nodes.conf")); !slices.Equal(got, want) {
		t.Errorf("names.conf leads to %v, nodes.conf to %v", got, want)
	}
	if out := strings.Count(string(names), "weir_node_"); out != 4 {
		t.Errorf("%d mentions of upstreams, want each once in the map and once by itself", out)
	}
}
