//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream/disklog/disktest"
	"weir/stream/streamtest"
)

// The tests run themselves as weir, in a process of its own that they may
// signal.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_AS_WEIR") != "" {
		if trigger := os.Getenv("FREEZE_DISK"); trigger != "" {
			freezeDisk(trigger)
		}
		if path := os.Getenv("COUNT_SYNCS"); path != "" {
			countSyncs(path)
		}
		if files := os.Getenv("OPEN_FILES"); files != "" {
			limitFiles(files)
		}
		main()
		return
	}
	os.Exit(m.Run())
}

// freezeDisk lets what this process writes to files hang once a file is there.
func freezeDisk(trigger string) {
	err := disktest.Intercept(func(disktest.Call) error {
		for {
			if _, err := os.Stat(trigger); err != nil {
				return nil
			}
			time.Sleep(10 * time.Millisecond) // a disk is asked, not told
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// countSyncs adds a byte to a file whenever the disk is asked to keep something.
func countSyncs(path string) {
	err := disktest.Intercept(func(call disktest.Call) error {
		if call.Name != "fdatasync" {
			return nil
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString("s")
			err = errors.Join(err, f.Close())
		}
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// limitFiles lets this process open few files.
func limitFiles(most string) {
	n, err := strconv.ParseUint(most, 10, 64)
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A childProcess is weir as a process of its own.
type childProcess struct {
	t         *testing.T
	cmd       *exec.Cmd
	url       string
	listening chan string
	stderr    *streamtest.Buffer
	ended     chan struct{}
}

// newProcess is weir with a topic "t".
func newProcess(t *testing.T, args ...string) *childProcess {
	t.Helper()
	args = append([]string{"-addr", "127.0.0.1:0", "-source", "t=http", "-drain", "0"}, args...)
	p := &childProcess{
		t: t, cmd: exec.Command(os.Args[0], args...), stderr: new(streamtest.Buffer),
		listening: make(chan string, 1), ended: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), "RUN_AS_WEIR=1", "WEIR_PUBLISH_TOKEN=hush")
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = time.Second // others may hold its pipes
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}

func (p *childProcess) start() *childProcess {
	p.t.Helper()
	out, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stdout = write
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	write.Close()
	go func() {
		defer out.Close()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, url, found := strings.Cut(lines.Text(), "listening on "); found {
				p.listening <- url
			}
		}
	}()
	go func() {
		_ = p.cmd.Wait() // the status is looked at where it matters
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // mostly it has ended
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("stderr: %s", p.stderr)
		}
	})
	return p
}

// listens waits until it listens.
func (p *childProcess) listens() *childProcess {
	p.t.Helper()
	select {
	case p.url = <-p.listening:
	case <-p.ended:
		p.t.Fatalf("it has ended: %v\n%s", p.cmd.ProcessState, p.stderr)
	case <-time.After(20 * time.Second):
		p.t.Fatalf("it does not listen\n%s", p.stderr)
	}
	return p
}

func (p *childProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// publish publishes an event and returns the status.
func (p *childProcess) publish() int {
	return status(p.t, "POST", p.url+"/publish?topic=t", "Authorization", "Bearer hush", "Content-Type", "application/json")
}

// ends waits for the end, and returns how long it took.
func (p *childProcess) ends(most time.Duration) time.Duration {
	p.t.Helper()
	began := time.Now()
	select {
	case <-p.ended:
	case <-time.After(most):
		p.t.Fatalf("it has not ended after %v", most)
	}
	return time.Since(began)
}

func fifo(t *testing.T, path string) {
	t.Helper()
	_ = os.Remove(path) // there may be none
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The second signal ends the process at once, whatever hangs.
func TestSecondSignal(t *testing.T) {
	for name, hang := range map[string]func(t *testing.T) *childProcess{
		"a drain of an hour": func(t *testing.T) *childProcess {
			p := newProcess(t, "-drain", "1h").start().listens()
			resp, err := http.Get(p.url + "/sse-stream")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			p.signal(syscall.SIGTERM)
			until(t, "the drain", func() bool { return strings.Contains(p.stderr.String(), "ending 1 streams") })
			until(t, "the server not to be ready", func() bool { return status(t, "GET", p.url+"/readyz") == 503 })
			if got := status(t, "GET", p.url+"/sse-stream"); got != 503 {
				t.Errorf("a new stream gets %d", got)
			}
			return p
		},
		"a grandchild with the pipe": func(t *testing.T) *childProcess {
			p := newProcess(t, "-source", "g=exec:setsid sleep 20 & echo 1; sleep 20").start().listens()
			p.signal(syscall.SIGTERM)
			return p
		},
		"a source that is a FIFO": func(t *testing.T) *childProcess {
			path := filepath.Join(t.TempDir(), "fifo")
			fifo(t, path)
			p := newProcess(t, "-source", "f=file:"+path).start()
			select { // it may as well be refused
			case p.url = <-p.listening:
				p.signal(syscall.SIGTERM)
			case <-p.ended:
			}
			return p
		},
		"a token file that is a FIFO at the start": func(t *testing.T) *childProcess {
			path := filepath.Join(t.TempDir(), "tokens")
			fifo(t, path)
			p := newProcess(t, "-token-file", path).start()
			until(t, "it to hang", func() bool { return hangsIn(t, p.cmd.Process.Pid, "wait_for_partner") })
			p.signal(syscall.SIGTERM)
			return p
		},
		"nobody reads stderr": func(t *testing.T) *childProcess {
			p := newProcess(t, "-publish-token", "visible") // which is warned of
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { read.Close(); write.Close() })
			if err := write.SetWriteDeadline(time.Now().Add(time.Second / 4)); err != nil {
				t.Fatal(err)
			}
			if _, err := write.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			p.cmd.Stderr = write
			p.start()
			until(t, "it to hang", func() bool { return hangsIn(t, p.cmd.Process.Pid, "pipe_write") })
			p.signal(syscall.SIGTERM)
			return p
		},
		"a disk that is frozen": func(t *testing.T) *childProcess {
			freeze := filepath.Join(t.TempDir(), "freeze")
			p := newProcess(t, "-data", t.TempDir())
			p.cmd.Env = append(p.cmd.Env, "FREEZE_DISK="+freeze)
			p.start().listens()
			if got := p.publish(); got != 200 {
				t.Fatalf("publishing: %d", got)
			}
			if err := os.WriteFile(freeze, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := p.publish(); got != 503 {
				t.Errorf("publishing to a disk that is frozen: %d", got)
			}
			until(t, "the server not to be ready", func() bool { return status(t, "GET", p.url+"/readyz") == 503 })
			p.signal(syscall.SIGTERM)
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := hang(t)
			select {
			case <-p.ended: // it did not hang
				return
			case <-time.After(time.Second / 2):
			}
			p.signal(syscall.SIGTERM)
			t.Logf("it ended %v after the second signal", p.ends(2*time.Second))
		})
	}
}

// hangsIn reports whether a thread of a process waits in a function of the
// kernel.
func hangsIn(t *testing.T, pid int, function string) bool {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	for _, task := range tasks {
		if wchan, err := os.ReadFile(task); err == nil && strings.Contains(string(wchan), function) {
			return true
		}
	}
	return false
}

// With -sync an event is acknowledged when the disk has been asked to keep it;
// without, the disk is not asked.
func TestSyncAsksTheDisk(t *testing.T) {
	for _, sync := range []bool{true, false} {
		count := filepath.Join(t.TempDir(), "syncs")
		p := newProcess(t, "-data", t.TempDir(), fmt.Sprintf("-sync=%v", sync))
		p.cmd.Env = append(p.cmd.Env, "COUNT_SYNCS="+count)
		p.start().listens()
		asked := func() int {
			b, err := os.ReadFile(count)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			return len(b)
		}
		before := asked()
		for range 5 {
			if got := p.publish(); got != 200 {
				t.Fatalf("publishing: %d", got)
			}
		}
		if n := asked() - before; sync != (n >= 10) || !sync && n > 0 {
			t.Errorf("with -sync=%v the disk was asked %d times for 5 events", sync, n)
		}
	}
}

// A reload that hangs is told, and holds up neither signals nor requests.
func TestReloadHangs(t *testing.T) {
	for _, file := range []string{"-token-file", "-tls-cert"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key := certificate(t, dir, 1)
			tokens := filepath.Join(dir, "tokens")
			if err := os.WriteFile(tokens, []byte("publish secret t\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"-token-file", tokens}
			path := tokens
			if file == "-tls-cert" {
				args, path = append(args, "-tls-cert", cert, "-tls-key", key), cert
			}
			p := newProcess(t, args...).start().listens()
			fifo(t, path)
			p.signal(syscall.SIGHUP)
			until(t, "the fault", func() bool {
				return strings.Contains(p.stderr.String(), "reload hangs") || strings.Contains(p.stderr.String(), "reload failed")
			})
			p.signal(syscall.SIGHUP) // again: it waits its turn
			if file == "-token-file" {
				if got := p.publish(); got != 200 {
					t.Errorf("meanwhile publishing answers %d", got)
				}
			}
			p.signal(syscall.SIGTERM)
			if took := p.ends(10 * time.Second); !p.cmd.ProcessState.Success() {
				t.Errorf("after %v it ended with %v", took, p.cmd.ProcessState)
			}
		})
	}
}

// Two signals in short order are two reloads: the second may be about a file that
// has changed since the first began.
func TestReloadTwice(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	write := func(token string) {
		if err := os.WriteFile(tokens, []byte("publish "+token+" t\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hush0")
	p := newProcess(t, "-token-file", tokens).start().listens()
	for i := 1; i < 20; i++ {
		token := fmt.Sprint("hush", i)
		write(token)
		p.signal(syscall.SIGHUP)
		until(t, "the new token", func() bool {
			return status(t, "POST", p.url+"/publish?topic=t", "Authorization", "Bearer "+token, "Content-Type", "application/json") != 401
		})
	}
}

// Descriptors that do not suffice are warned of at the start. When there are no
// more, that is told, not more than once a second, and accepting goes on.
func TestFewDescriptors(t *testing.T) {
	p := newProcess(t, "-max-sockets", "0", "-max-sockets-per-client", "0")
	p.cmd.Env = append(p.cmd.Env, "OPEN_FILES=40")
	p.start().listens()
	if log := p.stderr.String(); !strings.Contains(log, "-max-conns") || !strings.Contains(log, "40") {
		t.Errorf("at the start it says: %s", log)
	}
	var conns []net.Conn
	for range 60 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	began := time.Now()
	until(t, "the fault", func() bool { return strings.Contains(p.stderr.String(), "cannot be accepted") })
	time.Sleep(2500 * time.Millisecond) // what must not come has time to
	if n, most := strings.Count(p.stderr.String(), "cannot be accepted"), 2+int(time.Since(began).Seconds()); n > most {
		t.Errorf("it is told %d times in %v", n, time.Since(began))
	}
	for _, conn := range conns {
		conn.Close()
	}
	if got := status(t, "GET", p.url+"/livez"); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
}

// A secret on the command line is warned of, and not shown.
func TestExposedSecrets(t *testing.T) {
	p := newProcess(t, "-subscribe-token", "visible").start().listens()
	if log := p.stderr.String(); !strings.Contains(log, "-subscribe-token") || strings.Contains(log, "-publish-token") || strings.Contains(log, "visible") || strings.Contains(log, "hush") {
		t.Errorf("it says: %s", log)
	}
}

// Faults of TLS are in the log at a level that is shown.
func TestTLSFaultIsShown(t *testing.T) {
	cert, key := certificate(t, t.TempDir(), 1)
	p := newProcess(t, "-tls-cert", cert, "-tls-key", key).start().listens()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("this is no TLS, and long enough to be seen as such\n")); err != nil {
		t.Fatal(err)
	}
	until(t, "the fault", func() bool { return strings.Contains(p.stderr.String(), "a TLS handshake has failed") })
}
