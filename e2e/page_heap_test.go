package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/chromedp"
)

// A footprint is what a page holds. The browser takes a snapshot of the heap at one
// moment, after a collection. The size of the heap would say less: it counts what the
// page has made and dropped since the collection (a page that shows its clock makes
// 400 kB of garbage a second), and what the browser has compiled.
type footprint struct {
	bytes     int // of what scripts hold: objects, closures, arrays, strings, numbers
	things    int // how many of these
	natives   int // objects of the browser itself
	nodes     int
	listeners int
	kinds     map[string]int // how many there are of each constructor
}

func (f footprint) String() string {
	return fmt.Sprintf("%.1f kB in %d things, %d natives, %d nodes, %d listeners", float64(f.bytes)/1000, f.things, f.natives, f.nodes, f.listeners)
}

// since returns what has come since an earlier footprint.
func (f footprint) since(before footprint) footprint {
	grown := footprint{
		bytes: f.bytes - before.bytes, things: f.things - before.things, natives: f.natives - before.natives,
		nodes: f.nodes - before.nodes, listeners: f.listeners - before.listeners, kinds: map[string]int{},
	}
	for kind, n := range f.kinds {
		grown.kinds[kind] = n - before.kinds[kind]
	}
	return grown
}

// within reports whether nothing is more than in most.
func (f footprint) within(most footprint) bool {
	return f.bytes <= most.bytes && f.things <= most.things && f.natives <= most.natives && f.nodes <= most.nodes && f.listeners <= most.listeners
}

// mostly names the constructors of which there are the most.
func (f footprint) mostly() string {
	var kinds []string
	for kind, n := range f.kinds {
		if n > 0 {
			kinds = append(kinds, kind)
		}
	}
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Compare(f.kinds[b], f.kinds[a]) })
	var told []string
	for _, kind := range kinds[:min(8, len(kinds))] {
		told = append(told, fmt.Sprintf("%d × %s", f.kinds[kind], kind))
	}
	return strings.Join(told, ", ")
}

func (p *page) footprint() footprint {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	var text strings.Builder
	if err := chromedp.Listen(ctx, func(ev any) {
		if part, ok := ev.(*heapprofiler.EventAddHeapSnapshotChunk); ok {
			text.WriteString(part.Chunk)
		}
	}); err != nil {
		p.t.Fatal(err)
	}
	var counters memory.GetDOMCountersResult
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tab, heapprofiler.TakeHeapSnapshot, heapprofiler.TakeHeapSnapshotParams{}); err != nil {
			return err
		}
		var err error
		counters, err = cdp.Call(ctx, tab, memory.GetDOMCounters, cdp.Empty{})
		return err
	}))
	f, err := readSnapshot(text.String())
	if err != nil {
		p.t.Fatal("reading the snapshot of the heap:", err)
	}
	f.nodes, f.listeners = int(counters.Nodes), int(counters.JsEventListeners)
	return f
}

// readSnapshot counts a snapshot in the format of V8: each node is a row of numbers, of
// which some are places in lists of names.
func readSnapshot(text string) (footprint, error) {
	var snapshot struct {
		Snapshot struct {
			Meta struct {
				Fields []string          `json:"node_fields"`
				Types  []json.RawMessage `json:"node_types"` // the first: the names of the types
			}
		}
		Nodes   []int
		Strings []string
	}
	if err := json.Unmarshal([]byte(text), &snapshot); err != nil {
		return footprint{}, err
	}
	meta := snapshot.Snapshot.Meta
	kind, name, size := slices.Index(meta.Fields, "type"), slices.Index(meta.Fields, "name"), slices.Index(meta.Fields, "self_size")
	var types []string
	if len(meta.Types) == 0 || kind < 0 || name < 0 || size < 0 {
		return footprint{}, fmt.Errorf("its nodes have the fields %q", meta.Fields)
	}
	if err := json.Unmarshal(meta.Types[kind], &types); err != nil {
		return footprint{}, err
	}
	f := footprint{kinds: map[string]int{}}
	for node := range slices.Chunk(snapshot.Nodes, len(meta.Fields)) {
		constructor := snapshot.Strings[node[name]]
		switch of := types[node[kind]]; of {
		case "code", "hidden", "object shape", "synthetic":
			continue // the browser's own: what it has compiled
		case "native":
			f.natives++
			constructor, _, _ = strings.Cut(constructor, " ") // <div class=…
		default:
			f.things++
			f.bytes += node[size]
			if constructor == "" || strings.HasSuffix(of, "string") {
				constructor = of // what stands in a string is no name
			}
		}
		f.kinds[constructor]++
	}
	return f, nil
}

// rounds are how often something is repeated until it leaves nothing behind.
const rounds = 4

// leavesNothing repeats something until a round of it leaves no more than most, and fails
// the test if none does. What is made once, such as a list up to its bound, ends to grow;
// a leak goes on.
func (p *page) leavesNothing(most footprint, round func()) {
	p.t.Helper()
	before := p.footprint()
	var grown footprint
	for range rounds {
		round()
		after := p.footprint()
		grown = after.since(before)
		p.t.Logf("%v; the round has left %v", after, grown)
		if grown.within(most) {
			return
		}
		before = after
	}
	p.t.Errorf("each of %d rounds leaves something, the last one %v: %s", rounds, grown, grown.mostly())
}

// perEvent is what so many events may leave: less than one of anything each.
func perEvent(n int) footprint {
	return footprint{bytes: 20 * n, things: n / 2, natives: n / 2, nodes: n / 10, listeners: n / 100}
}

// What leaks is seen, whatever it is.
func TestLeaksAreSeen(t *testing.T) {
	p := openPage(t, startServer(t, "-source", "t=http").url())
	p.run(`void (window.kept = [], window.times = 0)`)
	before := p.footprint()
	for _, c := range []struct {
		name, once string // what is done for each of 5,000 events
		leaks      bool
	}{
		{"nothing", `[String(times).padStart(88), document.createElement('i'), () => times]`, false},
		{"a hundred bytes", `kept.push(String(times).padStart(88).replace('x', ''))`, true},
		{"a small object", `kept.push({ times })`, true},
		{"a node", `kept.push(document.createElement('i'))`, true},
		{"a listener", `addEventListener('x', () => times)`, true},
		{"an object of the browser", `kept.push(new AbortController())`, true},
	} {
		p.run(`void (() => { for (let i = 0; i < 5000; i++, times++) %s; })()`, c.once)
		after := p.footprint()
		if grown := after.since(before); grown.within(perEvent(5000)) == c.leaks {
			t.Errorf("%s: a leak is %v, but 5,000 times have left %v", c.name, c.leaks, grown)
		}
		before = after
	}
}
