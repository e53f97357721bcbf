package stack_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"weir/e2e/harness"
	"weir/stream/eventlog"
)

// TestEverythingRestartsUnderLoad runs two nodes, Redis and nginx under 200 events a
// second, with clients that come and go and clients that do not read, and restarts
// each of the parts in turn. In the end nothing may be lost or repeated, and what the nodes hold must be
// what they held at the beginning. (make soak accounts for more, without nginx.)
func TestEverythingRestartsUnderLoad(t *testing.T) {
	redis := harness.StartRedis(t)
	var nodes []*harness.Node
	for _, name := range []string{"one", "two"} {
		nodes = append(nodes, startNode(t, name, "-redis", redis.URL(), "-source", "t=http", "-history", "50000",
			"-drain", "1s", "-retry", "200ms", "-write-timeout", "2s", "-heartbeat", "5s",
			"-max-conns-per-client", "0", "-connect-rate", "0", "-publish-rate", "0"))
	}
	p := harness.StartProxy(t, nodes...)
	path := "/sse-stream?topic=t&format=json"
	var steady []*subscriber
	for i := range 20 {
		steady = append(steady, subscribe(t, fmt.Sprint("subscriber ", i), newClient(1+i%2, ""), p.URL()+path))
	}
	for _, s := range steady {
		s.connected(t, 1)
	}
	load := startLoad(t, p.URL(), "t", 200, steady)
	before := measure(t, nodes)

	ctx, cancel := context.WithCancel(context.Background())
	var others sync.WaitGroup
	defer func() { cancel(); others.Wait() }()
	var visits, stalls atomic.Int64
	for range 8 {
		others.Go(func() { churn(ctx, p.URL()+path, &visits) })
	}
	for i := range 4 {
		others.Go(func() { stall(ctx, nodes[i%2].Addr, path, &stalls) })
	}

	disturbances := []struct {
		name string
		do   func()
	}{
		{"node one restarted", func() { nodes[0].Terminate(t); nodes[0].Start(t) }},
		{"nginx reloaded", func() { p.Signal(t, syscall.SIGHUP) }},
		{"node two killed", func() { nodes[1].Kill(); nodes[1].Start(t) }},
		{"Redis restarted", func() { redis.Terminate(t); redis.Start(t) }},
		{"Redis killed", func() { redis.Kill(); redis.Start(t) }},
	}
	counts := make([]int, len(disturbances))
	// At least each once, and on until the time is over.
	for end, i := time.Now().Add(*restarts), 0; time.Now().Before(end) || i < len(disturbances); i++ {
		disturbances[i%len(disturbances)].do()
		counts[i%len(disturbances)]++
		// The next comes when the stack has got over this one: a node that stands
		// alone and is then killed has nobody to take its streams.
		for _, n := range nodes {
			n.Ready(t)
		}
		reached := load.count.Load() + 400
		harness.Eventually(t, func() bool { return load.count.Load() >= reached }, "publishing does not go on after: "+disturbances[i%len(disturbances)].name)
	}
	cancel()
	others.Wait()
	missing, repeated := load.settle(t, p.URL(), "t", steady)

	// The churning and stalled clients are gone, and nothing of them is left.
	harness.Eventually(t, func() bool {
		open := 0
		for _, n := range nodes {
			open += n.Streams(t)
		}
		return open == len(steady)
	}, "more streams are open than there are subscribers")
	after := measure(t, nodes)
	if after.goroutines > before.goroutines*3/2+50 {
		t.Errorf("%d goroutines, %d at the beginning", after.goroutines, before.goroutines)
	}
	// nginx keeps up to 32 connections for each of its workers.
	if after.descriptors > before.descriptors*3/2+100 {
		t.Errorf("%d file descriptors, %d at the beginning", after.descriptors, before.descriptors)
	}

	delivered, gaps, streams := 0, 0, 0
	for _, s := range steady {
		delivered, gaps, streams = delivered+len(s.ids), gaps+len(s.gaps), streams+len(s.nodes)
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, row := range [][2]any{
		{"events acknowledged", len(load.acked)}, {"not known whether they are in", load.unsure}, {"refused, and published again", load.refused},
		{"subscribers", len(steady)}, {"their streams", streams}, {"delivered to them", delivered}, {"lost", missing}, {"repeated or out of order", repeated}, {"gaps told", gaps},
		{"visits of churning clients", visits.Load()}, {"clients that did not read, until they were cut off", stalls.Load()},
	} {
		fmt.Fprintf(w, "%v\t%v\n", row[0], row[1])
	}
	for i, d := range disturbances {
		fmt.Fprintf(w, "%s\t%d times\n", d.name, counts[i])
	}
	fmt.Fprintf(w, "goroutines of both nodes\t%d → %d\n", before.goroutines, after.goroutines)
	fmt.Fprintf(w, "file descriptors\t%d → %d\n", before.descriptors, after.descriptors)
	fmt.Fprintf(w, "resident memory\t%.1f → %.1f MB\n", before.memory/1e6, after.memory/1e6)
	_ = w.Flush()
	t.Log("\n" + table.String())
}

// churn opens streams and leaves them again, at any moment: before the headers,
// within a replay, later.
func churn(ctx context.Context, url string, visits *atomic.Int64) {
	client := newClient(1+rand.IntN(2), "")
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		visit, leave := context.WithTimeout(ctx, time.Duration(rand.ExpFloat64()*float64(200*time.Millisecond)))
		req, err := http.NewRequestWithContext(visit, "GET", url, nil)
		if err != nil {
			panic(err) // a fault of the test
		}
		if rand.IntN(2) == 0 { // some time ago
			req.Header.Set("Last-Event-ID", eventlog.IDAt(time.Now().Add(-time.Duration(rand.IntN(5000))*time.Millisecond)).String())
		}
		if resp, err := client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		leave()
		visits.Add(1)
		harness.Pause(10 * time.Millisecond)
	}
}

// stall opens a stream and does not read it, until the server has cut it off.
func stall(ctx context.Context, addr, path string, cut *atomic.Int64) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			harness.Pause(100 * time.Millisecond) // the node is down
			continue
		}
		// A small window, and much to send: some seconds of the past.
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(conn, "GET %s&last_event_id=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path, eventlog.IDAt(time.Now().Add(-30*time.Second)))
		// Only a write shows that the other side is gone when nothing is read.
		for ctx.Err() == nil {
			harness.Pause(250 * time.Millisecond)
			if _, err := conn.Write([]byte("x")); err != nil {
				cut.Add(1)
				break
			}
		}
		_ = conn.Close()
	}
}

// A measurement is of all nodes together: which of them has how many of the
// streams changes with every restart.
type measurement struct {
	goroutines, descriptors int
	memory                  float64 // bytes
}

var goroutineCount = regexp.MustCompile(`(?m)^go_goroutine_count(?:\{[^}]*\})? (\S+)`)

func measure(t *testing.T, nodes []*harness.Node) (m measurement) {
	t.Helper()
	for _, n := range nodes {
		resp, err := harness.Direct.Get("http://" + n.Addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		found := goroutineCount.FindSubmatch(text)
		if err != nil || found == nil {
			t.Fatalf("/metrics tells of no goroutines: %v", err)
		}
		count, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		m.goroutines += int(count)

		proc := filepath.Join("/proc", strconv.Itoa(n.Cmd.Process.Pid))
		fds, err := os.ReadDir(filepath.Join(proc, "fd"))
		if err != nil {
			t.Fatal(err)
		}
		m.descriptors += len(fds)
		status, err := os.ReadFile(filepath.Join(proc, "status"))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(status))
		if i := slices.Index(fields, "VmRSS:"); i >= 0 {
			kb, _ := strconv.ParseFloat(fields[i+1], 64)
			m.memory += kb * 1024
		}
	}
	return m
}
