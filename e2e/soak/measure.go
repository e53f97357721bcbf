//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// figures are what a node is measured by at one moment.
type figures struct {
	life        int
	connections int
	goroutines  int
	rss         int64 // bytes; -1 where the system does not tell
	fds         int   // but for those to Redis; -1 likewise
	redis       int   // connections to Redis
	slow        int   // streams cut as slow, in this life
	heap        int64 // bytes alive, after a collection; only where weighed
	log         int64 // bytes of it that the topics hold
}

// measure asks the node and the system.
func (n *node) measure() (figures, error) {
	pid, life := n.pid()
	if pid == 0 {
		return figures{}, fmt.Errorf("node %s is not running", n.name)
	}
	f := figures{life: life, rss: -1, fds: -1}
	resp, err := plain.Get("http://" + n.admin + "/sse-metrics")
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return f, fmt.Errorf("GET /sse-metrics: %s", resp.Status)
	}
	var metrics struct {
		Active     int            `json:"active_connections"`
		Goroutines int            `json:"goroutines"`
		Closed     map[string]int `json:"closed_connections"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&metrics); err != nil {
		return f, fmt.Errorf("GET /sse-metrics: %w", err)
	}
	f.connections, f.goroutines, f.slow = metrics.Active, metrics.Goroutines, metrics.Closed["slow"]
	f.fromProc(pid, n.redises)
	if now, after := n.pid(); now != pid || after != life {
		return f, fmt.Errorf("node %s was restarted meanwhile", n.name)
	}
	return f, nil
}

// fromProc reads what Linux tells of a process; elsewhere there is nothing to read.
func (f *figures) fromProc(pid int, redises []*redis) {
	proc := "/proc/" + strconv.Itoa(pid)
	if statm, err := os.ReadFile(proc + "/statm"); err == nil {
		if fields := strings.Fields(string(statm)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				f.rss = pages * int64(os.Getpagesize())
			}
		}
	}
	entries, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return
	}
	tcp, _ := os.ReadFile(proc + "/net/tcp") // without it, all count as others
	toRedis := map[string]bool{}
	for _, r := range redises {
		maps.Copy(toRedis, socketsTo(string(tcp), r.addr))
	}
	f.fds = 0
	for _, e := range entries {
		target, _ := os.Readlink(proc + "/fd/" + e.Name())
		if inode, found := strings.CutPrefix(target, "socket:["); found && toRedis[strings.TrimSuffix(inode, "]")] {
			f.redis++
		} else {
			f.fds++
		}
	}
}

// socketsTo returns the inodes of the sockets whose peer has the address's
// port, from a table in the form of /proc/net/tcp.
func socketsTo(table, addr string) map[string]bool {
	_, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	suffix := fmt.Sprintf(":%04X", number)
	inodes := map[string]bool{}
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 9 && strings.HasSuffix(fields[2], suffix) {
			inodes[fields[9]] = true
		}
	}
	return inodes
}

// raise sets f to the greater of each of the two.
func (f *figures) raise(g figures) {
	f.life = max(f.life, g.life)
	f.connections = max(f.connections, g.connections)
	f.goroutines = max(f.goroutines, g.goroutines)
	f.rss = max(f.rss, g.rss)
	f.fds = max(f.fds, g.fds)
	f.redis = max(f.redis, g.redis)
	f.slow = max(f.slow, g.slow)
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// weigh measures what is alive on the node's heap, and how much of that are the
// events that its topics hold.
func (n *node) weigh(f *figures) error {
	profile, err := text("http://" + n.admin + "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return err
	}
	found := heapAlloc.FindSubmatch(profile)
	if found == nil {
		return errors.New("the profile of the heap does not say how much is alive")
	}
	if f.heap, err = strconv.ParseInt(string(found[1]), 10, 64); err != nil {
		return err
	}
	answer, err := text("http://" + n.admin + "/sse-health")
	if err != nil {
		return err
	}
	var health struct {
		Topics map[string]struct{ Bytes int64 }
	}
	if err := json.Unmarshal(answer, &health); err != nil {
		return fmt.Errorf("GET /sse-health: %w", err)
	}
	f.log = 0
	for _, topic := range health.Topics {
		f.log += topic.Bytes
	}
	return nil
}

func text(url string) ([]byte, error) {
	resp, err := plain.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return body, err
}

// few is by how much a counter may be off when all have left: a timer's
// goroutine, a connection that is just being closed.
const few = 5

// spare is by how much more may be alive at the end than at the beginning,
// beside what the topics hold: what the runtime and net/http keep for later,
// recent journeys, the tables of clients.
const spare = 24 << 20

// returned says which figures have not come back to what they were before the
// first client. What the topics hold by intent is left aside, twice: an event
// costs more than its bytes.
func (f figures) returned(base figures) []string {
	var not []string
	if f.connections != 0 {
		not = append(not, fmt.Sprintf("%d connections", f.connections))
	}
	if f.goroutines > base.goroutines+few {
		not = append(not, fmt.Sprintf("%d goroutines, were %d", f.goroutines, base.goroutines))
	}
	if f.fds > base.fds+few {
		not = append(not, fmt.Sprintf("%d file descriptors, were %d", f.fds, base.fds))
	}
	if most := base.heap + 2*f.log + spare; f.heap > most {
		not = append(not, fmt.Sprintf("%s alive, were %s, and the topics hold %s", mebibytes(f.heap), mebibytes(base.heap), mebibytes(f.log)))
	}
	return not
}
