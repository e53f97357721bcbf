package stack_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"weir/e2e/harness"
)

const newest = `[...document.querySelectorAll('#sse-feed .data-item [data-measure=seq]')].at(-1)?.dataset.value`

// The page itself, through nginx over HTTP/2, on two nodes: the node that it is on
// is killed, and the page goes on on the other one.
func TestPageGoesOnOnAnotherNode(t *testing.T) {
	t.Parallel()
	redis := harness.StartRedis(t).URL()
	nodes := map[string]*harness.Node{}
	var all []*harness.Node
	for _, name := range []string{"one", "two"} {
		nodes[name] = startNode(t, name, "-redis", redis, "-source", "t=http", "-retry", "500ms")
		all = append(all, nodes[name])
	}
	p := harness.StartProxy(t, all...)
	page := harness.OpenTab(t, p.URL()+"/")
	page.Do(chromedp.Click(chromedp.CSS("#connect"), chromedp.NodeVisible))
	page.Wait(`document.body.dataset.state === 'connected'`)
	if protocol := harness.Evaluate[string](page, `performance.getEntriesByType('navigation')[0].nextHopProtocol`); protocol != "h2" {
		t.Errorf("the browser speaks %q with nginx, want h2", protocol)
	}
	// Every event that the page shows, also those that it has let go again.
	harness.Evaluate[chromedp.Void](page, `void (window.shown = [], new MutationObserver((records) => {
		for (const { addedNodes } of records) for (const node of addedNodes) {
			if (node.classList?.contains('data-item')) shown.push(Number(node.querySelector('[data-measure=seq]').dataset.value));
		}
	}).observe(document.getElementById('sse-feed'), { childList: true }))`)

	client := newClient(2, "")
	client.Timeout = harness.Patience
	n := 0
	events := func(count int) {
		t.Helper()
		for range count {
			harness.Eventually(t, func() bool {
				_, _, err := publish(client, p.URL(), "t", fmt.Sprintf(`{"seq":%d}`, n))
				return err == nil
			}, "an event could not be published")
			n++
		}
	}
	events(10)
	page.Wait(`%s === '9'`, newest)
	for range 2 {
		var on *harness.Node
		harness.Eventually(t, func() bool {
			for _, candidate := range nodes {
				if candidate.Streams(t) > 0 {
					on = candidate
				}
			}
			return on != nil
		}, "the page is on no node")
		on.Kill()
		events(10) // while the page is away, or on its way to the other node
		page.Wait(`document.body.dataset.state === 'connected' && %s === '%d'`, newest, n-1)
		on.Start(t)
		events(5)
		page.Wait(`%s === '%d'`, newest, n-1)
	}
	shown := harness.Evaluate[[]int](page, `shown`)
	for i, seq := range shown {
		if seq != i {
			t.Fatalf("the page showed %v", shown)
		}
	}
	if len(shown) != n {
		t.Errorf("the page showed %d events of %d", len(shown), n)
	}
}
