//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

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

// A reload that hangs is told, and holds up neither signals nor requests nor the
// next reload, for which the file may have been replaced.
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
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p := newProcess(t, args...).start().listens()
			fifo(t, path)
			p.signal(syscall.SIGHUP)
			until(t, "the fault", func() bool {
				return strings.Contains(p.stderr.String(), "reload failed") && strings.Contains(p.stderr.String(), "does not answer")
			})
			if file == "-token-file" {
				if got := p.publish(); got != 200 {
					t.Errorf("meanwhile publishing answers %d", got)
				}
			}
			good := filepath.Join(dir, "good")
			if err := os.WriteFile(good, old, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(good, path); err != nil {
				t.Fatal(err)
			}
			p.signal(syscall.SIGHUP)
			until(t, "the next reload", func() bool { return strings.Contains(p.stderr.String(), "read again") })
			p.signal(syscall.SIGTERM)
			if took := p.ends(10 * time.Second); !p.cmd.ProcessState.Success() {
				t.Errorf("after %v it ended with %v", took, p.cmd.ProcessState)
			}
		})
	}
}

// A signal during a reload is a reload of its own: it may be about a file that has
// changed since the one before began.
func TestReloadDuringReload(t *testing.T) {
	dir := t.TempDir()
	tokens, pipe := filepath.Join(dir, "tokens"), filepath.Join(dir, "pipe")
	write := func(path, token string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("publish "+token+" t\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(tokens, "first")
	p := newProcess(t, "-token-file", tokens).start().listens()
	may := func(token string) bool {
		return status(t, "POST", p.url+"/publish?topic=t", "Authorization", "Bearer "+token, "Content-Type", "application/json") == 200
	}
	fifo(t, pipe)
	if err := os.Rename(pipe, tokens); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(tokens, pipe); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	until(t, "it to read", func() bool { return hangsIn(t, p.cmd.Process.Pid, "wait_for_partner") })
	write(filepath.Join(dir, "third"), "third")
	if err := os.Rename(filepath.Join(dir, "third"), tokens); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	time.Sleep(50 * time.Millisecond) // nothing tells that it has come
	// A signal may have had the system open the file anew, by its name, which is the
	// third's: then nobody reads from the pipe.
	second, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	switch {
	case err == nil:
		if _, err := second.WriteString("publish second t\n"); err != nil {
			t.Fatal(err)
		}
		second.Close()
	case !errors.Is(err, syscall.ENXIO):
		t.Fatal(err)
	}
	until(t, "the newest token", func() bool { return may("third") })
	if may("first") || may("second") {
		t.Error("an older token is good still")
	}
}

// Descriptors that do not suffice are warned of at the start. When there are no
// more, that is told, not more than once a second, and accepting goes on.
func TestFewDescriptors(t *testing.T) {
	p := newProcess(t, "-max-sockets", "0", "-max-sockets-per-client", "0")
	p.cmd.Env = append(p.cmd.Env, "OPEN_FILES=40")
	p.start().listens()
	until(t, "a warning", func() bool {
		log := p.stderr.String()
		return strings.Contains(log, "-max-conns") && strings.Contains(log, "40")
	})
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
	until(t, "a warning", func() bool { return strings.Contains(p.stderr.String(), "-subscribe-token") })
	if log := p.stderr.String(); strings.Contains(log, "-publish-token") || strings.Contains(log, "visible") || strings.Contains(log, "hush") {
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
