package harness

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"
)

// A Redis is one run after another of a Redis server, on one address.
type Redis struct {
	*Process
	addr, dir string
}

// StartRedis runs a Redis that has on disk what it has answered for.
func StartRedis(t *testing.T) *Redis {
	t.Helper()
	r := &Redis{addr: FreeAddr(t), dir: t.TempDir()}
	r.Start(t)
	return r
}

// Start runs it, on the address and with the data that it had before.
func (r *Redis) Start(t *testing.T) {
	t.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	r.Process = Start(t, "redis-server", exec.Command(Find(t, "redis-server"), "--bind", host, "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"))
	Eventually(t, func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(Patience))
		fmt.Fprint(conn, "PING\r\n")
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		return answer == "+PONG\r\n"
	}, "redis-server does not answer")
}

// URL is what -redis takes.
func (r *Redis) URL() string { return "redis://" + r.addr + "/0" }
