package stack_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream/streamtest"
)

const (
	// patience is how long a condition may take to come true. It is far more
	// than any takes on an idle machine: these tests share theirs.
	patience = 30 * time.Second
	token    = "publish-here"
)

// A process is a program that a test runs. Its output is shown if the test fails.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   *streamtest.Buffer
	ended chan struct{}
}

// start runs the command until the end of the test.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: new(streamtest.Buffer), ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			said := p.log.String()
			t.Logf("%s said:\n%s", name, said[max(0, len(said)-8<<10):])
		}
	})
	return p
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks it to end, and waits until it has.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s did not end within %v of SIGTERM", p.name, patience)
	}
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("sending %v to %s: %v", sig, p.name, err)
	}
}

// A node is one of several servers, run after run on one address.
type node struct {
	*process
	name string
	addr string
	args []string
}

func startNode(t *testing.T, name string, args ...string) *node {
	t.Helper()
	n := &node{name: name, addr: "127.0.0.1:0", args: args}
	n.start(t)
	return n
}

var listening = regexp.MustCompile(`^listening on http://(\S+)$`)

// start runs the node, on the address that it had before if it had one, and
// returns when it is ready. Before a restart the port may for a moment be taken
// by a connection that another process made from it, hence the tries.
func (n *node) start(t *testing.T) {
	t.Helper()
	for try := 1; ; try++ {
		cmd := exec.Command(binary, append([]string{"-addr", n.addr, "-node", n.name, "-publish-token", token, "-trusted-proxy", "127.0.0.1/32"}, n.args...)...)
		cmd.Env = cleanEnv()
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = in
		n.process = start(t, n.name, cmd)
		_ = in.Close()
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n')
		go func() {
			_, _ = io.Copy(n.log, lines)
			_ = out.Close()
		}()
		if m := listening.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			n.addr = m[1]
			break
		}
		<-n.ended
		if try == 20 || !strings.Contains(n.log.String(), "is in use") {
			t.Fatalf("%s did not start: %q\n%s", n.name, line, n.log)
		}
	}
	n.ready(t)
}

// ready waits until the node says that it is.
func (n *node) ready(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		resp, err := direct.Get("http://" + n.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, n.name+" is not ready")
}

// cleanEnv is this process's environment without what would change the server's ways.
func cleanEnv() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "WEIR_") && !strings.HasPrefix(pair, "OTEL_") {
			env = append(env, pair)
		}
	}
	return env
}

// direct asks nodes without the proxy.
var direct = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

// A redisServer is one run after another of Redis, on one address.
type redisServer struct {
	*process
	addr, dir string
}

// startRedis runs a Redis that has on disk what it has answered for.
func startRedis(t *testing.T) *redisServer {
	t.Helper()
	r := &redisServer{addr: freeAddr(t), dir: t.TempDir()}
	r.start(t)
	return r
}

func (r *redisServer) start(t *testing.T) {
	t.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	r.process = start(t, "redis-server", exec.Command(find(t, "redis-server"), "--bind", host, "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"))
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(conn, "PING\r\n")
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		return answer == "+PONG\r\n"
	}, "redis-server does not answer")
}

func (r *redisServer) url() string { return "redis://" + r.addr + "/0" }

// A proxy is nginx with the configuration that users copy.
type proxy struct {
	*process
	dir   string
	addr  string // TLS, HTTP/1.1 and HTTP/2
	plain string // the redirect
}

// startProxy runs nginx in front of the nodes. The main file is the users' own,
// byte by byte; of the three that it includes, which say where to listen, log and
// find the nodes, the test has its own.
func startProxy(t *testing.T, nodes ...*node) *proxy {
	t.Helper()
	p := &proxy{dir: filepath.Join(workDir, strings.ReplaceAll(t.Name(), "/", "-")), addr: freeAddr(t), plain: freeAddr(t)}
	servers := ""
	for _, n := range nodes {
		servers += "server " + n.addr + " max_fails=0;\n" // as nginx/weir/nodes.conf has it
	}
	// Those of the system's package may be root's.
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += kind + "_temp_path temp-" + kind + ";\n"
	}
	main, err := os.ReadFile("nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "nginx.conf", string(main))
	p.write(t, "weir/listen.conf", fmt.Sprintf("listen %s ssl http2;\nssl_certificate %s;\nssl_certificate_key %s;\naccess_log access.log weir;\n%s", p.addr, certFile, keyFile, temp))
	p.write(t, "weir/redirect.conf", fmt.Sprintf("listen %s;\naccess_log off;\n%s", p.plain, temp))
	p.write(t, "weir/nodes.conf", servers)
	// Notices tell when workers come and go.
	p.process = start(t, "nginx", exec.Command(find(t, "nginx"), "-e", "stderr", "-p", p.dir, "-c", "nginx.conf",
		"-g", "daemon off; error_log stderr notice; pid "+filepath.Join(p.dir, "nginx.pid")+";"))
	eventually(t, func() bool {
		select {
		case <-p.ended:
			t.Fatal("nginx refused its configuration")
		default:
		}
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, "nginx does not listen")
	t.Cleanup(func() {
		// A killed master leaves its workers behind.
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(patience):
		}
	})
	return p
}

func (p *proxy) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	workerStarted = regexp.MustCompile(`start worker process (\d+)`)
	workerExited  = regexp.MustCompile(`worker process (\d+) exited with code`)
)

// workers returns the process IDs of the workers begun so far, and of those ended.
func (p *proxy) workers() (started, exited map[string]bool) {
	started, exited = map[string]bool{}, map[string]bool{}
	text := p.log.String()
	for _, m := range workerStarted.FindAllStringSubmatch(text, -1) {
		started[m[1]] = true
	}
	for _, m := range workerExited.FindAllStringSubmatch(text, -1) {
		exited[m[1]] = true
	}
	return started, exited
}

func (p *proxy) url() string { return "https://" + p.addr }

func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(dir + name)
		}
	}
	if err != nil {
		t.Fatalf("%s is needed: make deps installs it", name)
	}
	return path
}

// freeAddr returns an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool, otherwise string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", otherwise, patience)
		}
		pause(20 * time.Millisecond)
	}
}

// pause is the interval between two looks at a condition, or between two events
// of a publisher: nothing relies on what happens in it.
func pause(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	<-ctx.Done()
	cancel()
}

// streams is how many streams the node has open.
func (n *node) streams(t *testing.T) int {
	t.Helper()
	resp, err := direct.Get("http://" + n.addr + "/sse-health")
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
