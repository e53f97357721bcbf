package stack_test

import (
	"errors"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"weir/e2e/harness"
)

// settings are the flags that the server knows, as flags and as variables.
func settings(t *testing.T) (flags, variables map[string]bool) {
	t.Helper()
	out, err := exec.Command(harness.Binary, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags, variables = map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(string(out), -1) {
		flags["-"+m[1]] = true
		variables["WEIR_"+strings.ToUpper(strings.ReplaceAll(m[1], "-", "_"))] = true
	}
	if len(flags) < 20 {
		t.Fatalf("weir help lists %d flags", len(flags))
	}
	return flags, variables
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every flag and variable that one of the files names is one that the server has.
func TestFlagsExist(t *testing.T) {
	t.Parallel()
	flags, variables := settings(t)
	variable := regexp.MustCompile(`\bWEIR_[A-Z_]+`)
	flag := regexp.MustCompile(`(?:^|[\s("'])(-[a-z]{2,}(?:-[a-z]+)*)`)
	// Those of other programs, in the commands that the comments show.
	foreign := map[string]bool{"-trimpath": true, "-ldflags": true}
	for _, name := range []string{"nginx/nginx.conf", "nginx/weir/nodes.conf", "nginx/weir/names.conf", "nginx/weir/listen.conf", "weir.service", "weir.env", "compose.yaml", "Dockerfile", "prometheus.yml", "alerts.yml", "jaeger.yaml", "collector.yaml", "grafana.json"} {
		text := read(t, name)
		for _, v := range variable.FindAllString(text, -1) {
			if !variables[v] {
				t.Errorf("%s: weir knows no variable %s", name, v)
			}
		}
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			if !flags[m[1]] && !foreign[m[1]] {
				t.Errorf("%s: weir knows no flag %s", name, m[1])
			}
		}
	}
}

func TestUnit(t *testing.T) {
	t.Parallel()
	unit := read(t, "weir.service")
	exe := regexp.MustCompile(`(?m)^ExecStart=(\S+)`).FindStringSubmatch(unit)
	if exe == nil {
		t.Fatal("no ExecStart")
	}
	// A root of its own, with all that the unit starts.
	root := t.TempDir()
	put := func(name, content string, mode os.FileMode) {
		to := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	put("/etc/systemd/system/weir.service", unit, 0o644)
	for _, program := range []string{exe[1], "/bin/kill"} {
		put(program, "#!/bin/sh\n", 0o755)
	}
	for _, target := range []string{"sysinit", "basic", "shutdown", "network-online", "multi-user"} {
		put("/etc/systemd/system/"+target+".target", "[Unit]\nDescription="+target+"\n", 0o644)
	}
	analyze := harness.Find(t, "systemd-analyze")
	if out, err := exec.Command(analyze, "--root", root, "--man=no", "verify", "weir.service").CombinedOutput(); err != nil || strings.Contains(string(out), "weir.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// From 0, no exposure, to 100.
	if out, err := exec.Command(analyze, "--no-pager", "security", "--offline=yes", "--threshold=20", "weir.service").CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	// The environment file is one that the server takes.
	cmd := exec.Command(harness.Binary, "version")
	cmd.Env = harness.CleanEnv()
	for _, line := range strings.Split(read(t, "weir.env"), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("weir with weir.env: %v\n%s", err, out)
	}
}

// A composition is what the tests look at of compose.yaml.
type composition struct {
	Services map[string]struct {
		Image       string
		Build       struct{ Context, Dockerfile string }
		Command     []string
		Environment map[string]string
		DependsOn   []string `yaml:"depends_on"`
		Ports       []string
		Volumes     []string
		Configs     []struct{ Source, Target string }
		ReadOnly    bool `yaml:"read_only"`
	}
	Volumes map[string]any
	Configs map[string]struct{ Content string }
}

func compose(t *testing.T) composition {
	t.Helper()
	var c composition
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// There are no containers where the tests run, so the file is checked against
// what it names: files, services, ports, flags.
func TestCompose(t *testing.T) {
	t.Parallel()
	c := compose(t)
	mounted := map[string]map[string]string{} // service → path in the container → content
	for name, s := range c.Services {
		mounted[name] = map[string]string{}
		tag := s.Image[strings.LastIndex(s.Image, "/")+1:]
		if s.Build.Context == "" && !regexp.MustCompile(`^[a-z]+:v?\d+\.\d+`).MatchString(tag) {
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		}
		for _, other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which there is not", name, other)
			}
		}
		for _, v := range s.Volumes {
			from, to, _ := strings.Cut(strings.TrimSuffix(v, ":ro"), ":")
			if strings.HasPrefix(from, ".") {
				mounted[name][to] = read(t, from)
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s: volume %s is not declared", name, from)
			}
		}
		for _, use := range s.Configs {
			content, ok := c.Configs[use.Source]
			if !ok {
				t.Errorf("%s: config %s is not declared", name, use.Source)
			}
			mounted[name][use.Target] = strings.ReplaceAll(content.Content, "$$", "$") // which compose would take for a variable of its own
			if strings.HasSuffix(use.Target, ".yaml") {
				if err := yaml.Unmarshal([]byte(content.Content), new(any)); err != nil {
					t.Errorf("config %s: %v", use.Source, err)
				}
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, p)
			}
		}
	}

	// The nodes: every flag is taken, with its value.
	ports := map[string]string{}
	for _, name := range []string{"weir-1", "weir-2"} {
		s := c.Services[name]
		if !s.ReadOnly {
			t.Errorf("%s is not read-only", name)
		}
		dockerfile := filepath.Join(s.Build.Context, s.Build.Dockerfile)
		addr := regexp.MustCompile(`WEIR_ADDR=\S+:(\d+)`).FindStringSubmatch(read(t, dockerfile))
		if addr == nil {
			t.Fatalf("%s sets no address", dockerfile)
		}
		ports[name] = addr[1]
		// There is no Redis of that name here, so the node gives up, but not over
		// what it was told: an unknown or malformed flag comes first.
		cmd := exec.Command(harness.Binary, append(s.Command, "-redis-wait=false", "-addr", "127.0.0.1:0")...)
		cmd.Env = harness.CleanEnv()
		for key, value := range s.Environment {
			if strings.HasPrefix(key, "WEIR_") && !strings.HasPrefix(value, "$") && value != "" {
				cmd.Env = append(cmd.Env, key+"="+value)
			}
		}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "-redis: ") {
			t.Errorf("%s: weir %q: %v\n%s", name, s.Command, err, out)
		}
		for key, value := range s.Environment {
			u, err := url.Parse(value)
			if err != nil || u.Host == "" || u.Hostname() == "127.0.0.1" {
				continue
			}
			if _, ok := c.Services[u.Hostname()]; !ok {
				t.Errorf("%s: %s=%s, but there is no service %s", name, key, value, u.Hostname())
			}
		}
	}

	// Those who look for the nodes find them.
	target := regexp.MustCompile(`weir-\d:\d+`)
	for who, text := range map[string]string{
		"nginx":      mounted["nginx"]["/etc/nginx/weir/nodes.conf"],
		"Prometheus": mounted["prometheus"]["/etc/prometheus/prometheus.yml"],
	} {
		found := map[string]bool{}
		for _, hostPort := range target.FindAllString(text, -1) {
			host, port, _ := net.SplitHostPort(hostPort)
			found[host] = true
			if port != ports[host] {
				t.Errorf("%s looks for a node at %s, which listens on %s", who, hostPort, ports[host])
			}
		}
		if len(found) != 2 {
			t.Errorf("%s knows the nodes %v", who, slices.Collect(maps.Keys(found)))
		}
	}

	// The command lines of the others name files that are mounted.
	for name, s := range c.Services {
		for _, arg := range s.Command {
			if _, file, ok := strings.Cut(arg, "/"); ok && path.Ext(file) != "" {
				file := arg[strings.Index(arg, "/"):]
				if mounted[name][file] == "" {
					t.Errorf("%s: %s is not mounted", name, file)
				}
			}
		}
	}

	// nginx takes the composition's own parts too.
	dir := t.TempDir()
	for name, content := range mounted["nginx"] {
		content = target.ReplaceAllString(content, "127.0.0.1:1") // the names are known inside only
		content = strings.ReplaceAll(content, "127.0.0.1:80;", "127.0.0.1:1;")
		to := filepath.Join(dir, strings.TrimPrefix(name, "/etc/nginx/"))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(harness.Find(t, "nginx"), "-t", "-e", "stderr", "-p", dir, "-c", "nginx.conf", "-g", "pid "+dir+"/pid;").CombinedOutput(); err != nil {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := read(t, "Dockerfile")
	ignored := strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(read(t, "../../.dockerignore"), ""))
	stages := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)(?: AS (\S+))?`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^[a-z]+:\d+`).MatchString(m[1]) {
			t.Errorf("image %s is not pinned", m[1])
		}
		stages[m[2]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^COPY (.+)$`).FindAllStringSubmatch(text, -1) {
		args := strings.Fields(m[1])
		if from, ok := strings.CutPrefix(args[0], "--from="); ok {
			if !stages[from] {
				t.Errorf("COPY %s: there is no such stage", m[1])
			}
			continue
		}
		for _, file := range args[:len(args)-1] {
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
				t.Errorf("COPY %s: %v", m[1], err)
			}
			if slices.Contains(ignored, file) {
				t.Errorf("COPY %s: .dockerignore leaves %s out", m[1], file)
			}
		}
	}
	// What the packages import lies in the folders that are copied.
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "weir/cmd/weir").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		if inside, ok := strings.CutPrefix(pkg, "weir/"); ok {
			if top, _, _ := strings.Cut(inside, "/"); !regexp.MustCompile(`(?m)^COPY ` + top + ` `).MatchString(text) {
				t.Errorf("%s is not copied", pkg)
			}
		}
	}
	// An image says of what release it is, though it has no history.
	flags := regexp.MustCompile(`go build .*-ldflags "([^"]+)"`).FindStringSubmatch(text)
	if flags == nil || !strings.Contains(text, "ARG VERSION") {
		t.Fatal("the binary is not told its VERSION")
	}
	binary := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", strings.ReplaceAll(flags[1], "$VERSION", "v1.2.3"), "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(binary, "version").Output(); err != nil || !strings.HasPrefix(string(out), "weir v1.2.3") {
		t.Errorf("it says that it is %q, %v", out, err)
	}
	for _, want := range []string{"USER 65532:65532", "CGO_ENABLED=0", "HEALTHCHECK"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}
