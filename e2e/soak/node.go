//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// A node is a Weir server.
type node struct {
	process
	binary  string
	addr    string
	admin   string // address
	args    []string
	redises []*redis       // that it speaks to
	files   int            // descriptors that it may have; 0: as many as the system gives
	gate    *gate          // between it and its disk; nil: none
	excused *regexp.Regexp // what it may print, by what befalls it; nil: nothing

	base, peak, now figures // guarded by soak.mu
}

func newNode(dir, name, binary string, args ...string) (*node, error) {
	n := &node{binary: binary}
	var err error
	if n.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	if n.admin, err = freeAddr(); err != nil {
		return nil, err
	}
	n.name, n.logPath = name, filepath.Join(dir, "node-"+name+".log")
	n.args = append([]string{
		"-addr", n.addr, "-admin-addr", n.admin, "-node", name, "-publish-token", token,
		"-heartbeat", heartbeat.String(), "-write-timeout", writeTimeout.String(), "-retry", retry.String(),
		"-history", fmt.Sprint(history), "-drain", "2s",
		"-max-conns-per-client", "0", "-connect-rate", "0", "-publish-rate", "0",
	}, args...)
	return n, nil
}

var listening = regexp.MustCompile(`^listening on http://(\S+)$`)

// start runs the node and returns when it is ready.
func (n *node) start(ctx context.Context) error {
	cmd := exec.Command(n.binary, n.args...)
	if n.files > 0 {
		cmd = exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, n.files), n.binary}, n.args...)...)
	}
	if n.gate != nil {
		begun, err := n.gate.before(cmd)
		if err != nil {
			return err
		}
		defer begun()
	}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "WEIR_") && !strings.HasPrefix(pair, "OTEL_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	line, err := n.begin(cmd, true)
	if err != nil {
		return err
	}
	if !listening.MatchString(line) {
		return fmt.Errorf("node %s does not listen: %q", n.name, line)
	}
	return n.ready(ctx)
}

// ready waits until an event can go round.
func (n *node) ready(ctx context.Context) error {
	return eventually(ctx, patience, "node "+n.name+" is not ready", func() bool { return n.answers("/readyz") == http.StatusOK })
}

// unready waits until the node says that an event cannot go round.
func (n *node) unready(ctx context.Context) error {
	return eventually(ctx, patience, "node "+n.name+" says that it is ready, and cannot be", func() bool {
		return n.answers("/readyz") == http.StatusServiceUnavailable
	})
}

// prober asks as those do that watch over servers, from an address of their own:
// what is true of other clients' bounds is not of theirs.
var prober = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil, DialContext: from(9).DialContext}}

// from returns a dialer whose address is one of the loopback's, where that has
// several.
func from(host byte) *net.Dialer {
	d := &net.Dialer{}
	if runtime.GOOS == "linux" {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}
	}
	return d
}

// answers asks for a path, and returns the status, or 0.
func (n *node) answers(path string) int {
	resp, err := prober.Get("http://" + n.addr + path)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
