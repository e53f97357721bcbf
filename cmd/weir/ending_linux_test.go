//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
			until(t, "the drain", func() bool { return strings.Contains(p.stderr.String(), "ending the streams") })
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

// Nor does what a source has started outlive a process that is ended at once,
// though it ignores every request to end.
func TestSecondSignalKillsChildren(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	stubborn := "trap \"\" INT TERM; echo $$ >>" + pids + "; while :; do sleep 0.05; done"
	p := newProcess(t, "-source", "g=exec:sh -c '"+stubborn+"' & sh -c '"+stubborn+"'").start().listens()
	var started []string
	until(t, "both to run", func() bool {
		text, _ := os.ReadFile(pids) // there is none at first
		started = strings.Fields(string(text))
		return len(started) == 2
	})
	p.signal(syscall.SIGTERM)
	until(t, "the server to end", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	p.signal(syscall.SIGTERM)
	p.ends(10 * time.Second)
	for _, pid := range started {
		t.Cleanup(func() {
			if n, err := strconv.Atoi(pid); err == nil && t.Failed() {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		})
		until(t, "the end of "+pid, func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ") // nobody may collect it here
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

// A client that takes nothing holds up the end for a moment, not for as long as
// the write timeout allows.
func TestDrainWithAReaderThatTakesNothing(t *testing.T) {
	for _, transport := range []string{transportAuto, transportPlain} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t, "-transport", transport, "-write-timeout", "1h").start().listens()
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			_ = conn.(*net.TCPConn).SetReadBuffer(4096)
			fmt.Fprintf(conn, "GET /sse-stream?topic=t&format=data HTTP/1.1\r\nHost: %s\r\n\r\n", strings.TrimPrefix(p.url, "http://"))
			until(t, "the stream", func() bool { return strings.Contains(p.stderr.String(), "stream opened") })
			large := fmt.Sprintf("%q", strings.Repeat("x", 1<<19))
			for range 32 { // more than the system holds for it
				req, err := http.NewRequest("POST", p.url+"/publish?topic=t", strings.NewReader(large))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer hush")
				req.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if resp.Body.Close(); resp.StatusCode != 200 {
					t.Fatalf("publishing: %s", resp.Status)
				}
			}
			p.signal(syscall.SIGTERM)
			until(t, "the drain", func() bool { return strings.Contains(p.stderr.String(), "ending the streams") })
			began := time.Now()
			until(t, "the stream to be cut", func() bool { return strings.Contains(p.stderr.String(), "streams were cut at the end") })
			if took := time.Since(began); took > 2*lastWord+900*time.Millisecond {
				t.Errorf("it was cut after %v", took)
			}
			if p.ends(20 * time.Second); !p.cmd.ProcessState.Success() {
				t.Errorf("it ended with %v", p.cmd.ProcessState)
			}
		})
	}
}
