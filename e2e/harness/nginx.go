package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Proxy is nginx with the configuration that users copy.
type Proxy struct {
	*Process
	Dir   string
	Addr  string // TLS, HTTP/1.1 and HTTP/2
	Plain string // the redirect
}

// StartProxy runs nginx in front of the nodes.
func StartProxy(t *testing.T, nodes ...*Node) *Proxy {
	t.Helper()
	return StartSite(t, "", nodes...)
}

// StartSite runs nginx in front of the nodes and of what else the site has, which
// is told by locations of nginx. The main file is the users' own, byte by byte; of
// the four that it includes, which say where to listen, log and find the nodes, the
// test has its own.
func StartSite(t *testing.T, locations string, nodes ...*Node) *Proxy {
	t.Helper()
	p := &Proxy{Dir: filepath.Join(workDir, strings.ReplaceAll(t.Name(), "/", "-")), Addr: FreeAddr(t), Plain: FreeAddr(t)}
	servers, names, upstreams := "", "map $arg_node $weir_node {\ndefault weir;\n", ""
	for i, n := range nodes { // as nginx/weir/nodes.conf and names.conf have it
		server := "server " + n.Addr + " max_fails=0;\n"
		servers += server
		names += fmt.Sprintf("%q weir_node_%d;\n", n.Name, i)
		upstreams += fmt.Sprintf("upstream weir_node_%d {\n%skeepalive 8;\n}\n", i, server)
	}
	// Those of the system's package may be root's.
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += kind + "_temp_path temp-" + kind + ";\n"
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile(filepath.Join(root, "e2e", "stack", "nginx", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "nginx.conf", string(main))
	p.write(t, "weir/listen.conf", fmt.Sprintf("listen %s ssl http2;\nssl_certificate %s;\nssl_certificate_key %s;\naccess_log access.log weir;\n%s%s", p.Addr, Cert.File, Cert.KeyFile, temp, locations))
	p.write(t, "weir/redirect.conf", fmt.Sprintf("listen %s;\naccess_log off;\n%s", p.Plain, temp))
	p.write(t, "weir/nodes.conf", servers)
	p.write(t, "weir/names.conf", names+"}\n"+upstreams)
	p.Start(t)
	return p
}

// Start runs nginx once more, as it was.
func (p *Proxy) Start(t *testing.T) {
	t.Helper()
	// Notices tell when workers come and go.
	p.Process = Start(t, "nginx", exec.Command(Find(t, "nginx"), "-e", "stderr", "-p", p.Dir, "-c", "nginx.conf",
		"-g", "daemon off; error_log stderr notice; pid "+filepath.Join(p.Dir, "nginx.pid")+";"))
	t.Cleanup(p.end) // before it is killed
	p.Listens(t, p.Addr)
}

// end lets the master end its workers: a killed one leaves them behind.
func (p *Proxy) end() {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Ended:
	case <-time.After(Patience):
	}
}

// Crash kills nginx, the master and its workers: every connection is cut, and
// nobody listens any more.
func (p *Proxy) Crash(t *testing.T) {
	t.Helper()
	_ = p.Cmd.Process.Kill()
	p.killWorkers()
	<-p.Ended // once its workers, too, have let go of its log
	Eventually(t, func() bool {
		conn, err := net.Dial("tcp", p.Addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, "nginx still listens")
}

// KillWorkers kills the workers alone: the master begins others at once.
func (p *Proxy) KillWorkers(t *testing.T) {
	t.Helper()
	old, _ := p.Workers()
	p.killWorkers()
	Eventually(t, func() bool {
		started, exited := p.Workers()
		return len(started) > len(old) && len(exited) >= len(old)
	}, "nginx began no new workers")
}

func (p *Proxy) killWorkers() {
	started, exited := p.Workers()
	for pid := range started {
		if n, err := strconv.Atoi(pid); err == nil && !exited[pid] {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
}

func (p *Proxy) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	workerStarted = regexp.MustCompile(`start worker process (\d+)`)
	workerExited  = regexp.MustCompile(`worker process (\d+) exited (?:with code|on signal)`)
)

// Workers returns the process IDs of the workers begun so far, and of those ended.
func (p *Proxy) Workers() (started, exited map[string]bool) {
	started, exited = map[string]bool{}, map[string]bool{}
	text := p.Log.String()
	for _, m := range workerStarted.FindAllStringSubmatch(text, -1) {
		started[m[1]] = true
	}
	for _, m := range workerExited.FindAllStringSubmatch(text, -1) {
		exited[m[1]] = true
	}
	return started, exited
}

// URL is where browsers go.
func (p *Proxy) URL() string { return "https://" + p.Addr }
