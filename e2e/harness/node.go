package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// A Node is one of several servers, run after run on one address.
type Node struct {
	*Process
	Name string
	Addr string
	Args []string
}

// StartNode runs a node on a free port, behind a proxy on this machine.
func StartNode(t *testing.T, name string, args ...string) *Node {
	t.Helper()
	n := &Node{Name: name, Addr: "127.0.0.1:0", Args: append([]string{"-trusted-proxy", "127.0.0.1/32"}, args...)}
	n.Start(t)
	return n
}

var listening = regexp.MustCompile(`^listening on http://(\S+)$`)

// Start runs the node, on the address that it had before if it had one, and
// returns when it is ready. Before a restart the port may for a moment be taken
// by a connection that another process made from it, hence the tries.
func (n *Node) Start(t *testing.T) {
	t.Helper()
	for try := 1; ; try++ {
		cmd := exec.Command(Binary, append([]string{"-addr", n.Addr, "-node", n.Name}, n.Args...)...)
		cmd.Env = CleanEnv()
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = in
		n.Process = Start(t, n.Name, cmd)
		_ = in.Close()
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n')
		go func() {
			_, _ = io.Copy(n.Log, lines)
			_ = out.Close()
		}()
		if m := listening.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			n.Addr = m[1]
			break
		}
		<-n.Ended
		if try == 20 || !strings.Contains(n.Log.String(), "is in use") {
			t.Fatalf("%s did not start: %q\n%s", n.Name, line, n.Log)
		}
	}
	n.Ready(t)
}

// Ready waits until the node says that it is.
func (n *Node) Ready(t *testing.T) {
	t.Helper()
	Eventually(t, func() bool {
		resp, err := Direct.Get("http://" + n.Addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, n.Name+" is not ready")
}

// Direct asks nodes without the proxy.
var Direct = &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

// Streams is how many streams the node has open.
func (n *Node) Streams(t *testing.T) int {
	t.Helper()
	resp, err := Direct.Get("http://" + n.Addr + "/sse-health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var health struct {
		ActiveConnections int `json:"active_connections"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	return health.ActiveConnections
}
