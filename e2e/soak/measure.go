//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
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
}

// measure asks the node and the system.
func (n *node) measure(redisAddr string) (figures, error) {
	pid, life := n.pid()
	if pid == 0 {
		return figures{}, fmt.Errorf("node %s is not running", n.name)
	}
	f := figures{life: life, rss: -1, fds: -1}
	resp, err := plain.Get("http://" + n.addr + "/sse-metrics")
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
	f.fromProc(pid, redisAddr)
	if now, after := n.pid(); now != pid || after != life {
		return f, fmt.Errorf("node %s was restarted meanwhile", n.name)
	}
	return f, nil
}

// fromProc reads what Linux tells of a process; elsewhere there is nothing to read.
func (f *figures) fromProc(pid int, redisAddr string) {
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
	toRedis := socketsTo(string(tcp), redisAddr)
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

// few is by how much a counter may be off when all have left: a timer's
// goroutine, a connection that is just being closed.
const few = 5

// returned says which counters have not come back to what they were before the
// first client. Memory is not among them: it is for the reader of the table.
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
	return not
}
