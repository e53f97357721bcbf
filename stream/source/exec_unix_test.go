//go:build unix

package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/source"
)

// execCommands are programs that print now and then, each of another temper.
var execCommands = map[string]string{
	"ends at the end of its input": "( while sleep 0.01; do echo line; done ) & cat; kill $!",
	"ends by signals only":         "while sleep 0.01; do echo line; done",
	"ends by itself":               "echo line",
	"fails":                        "echo line; exit 3",
}

func TestExecOutput(t *testing.T) {
	for _, test := range []struct {
		name, command string
		want          []string
	}{
		{"lines", `printf 'one\r\n\n{"two":2}\nlast'`, []string{"one", `{"two":2}`, "last"}},
		{"a line too long", `printf 'a\n'; head -c 200000 /dev/zero; printf '\nb\n'`, []string{"a", "! " + source.ErrLineTooLong.Error(), "b"}},
		{"standard error is apart", `echo one; echo no >&2; echo two`, []string{"one", "two"}},
		{"a pipe line", `printf '1\n2\n' | sed s/^/x/`, []string{"x1", "x2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newSink()
			_, done := run(t, &source.Exec{Command: test.command, Logger: quiet}, p)
			if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
				t.Errorf("Run returned %v, want ErrRestart", err)
			}
			p.want(t, test.want...)
		})
	}
}

// All that a program has printed is published, however long that takes.
func TestExecSlowPublisher(t *testing.T) {
	p := newSink()
	n := 0
	p.answer = func() error {
		if n++; n%1000 == 1 && n < 3000 {
			return fmt.Errorf("test: %w", stream.ErrUnavailable)
		}
		return nil
	}
	_, done := run(t, &source.Exec{Command: "seq 5000", Grace: time.Millisecond, Logger: quiet}, p)
	if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
		t.Errorf("Run returned %v", err)
	}
	for i, line := range p.wait(t, 5000) {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d is %s", i+1, line)
		}
	}
}

func TestExecStatus(t *testing.T) {
	for _, test := range []struct{ command, want string }{
		{"exit 3", "the command has ended: exit status 3"},
		{"echo first >&2; echo 'no such room' >&2; exit 4", "the command has ended: exit status 4: no such room"},
		{"kill -KILL $$", "the command has ended: signal: killed"},
		{"no-such-program", "the command has ended: exit status 127: "},
	} {
		_, done := run(t, &source.Exec{Command: test.command, Logger: quiet}, newSink())
		err := ends(t, done)
		var status *exec.ExitError
		if err == nil || !errors.As(err, &status) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.command, err, test.want)
		}
	}
}

func TestExecLogsStandardError(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, nil))
	command := "echo 'careful: hot' >&2; head -c 100000 /dev/zero >&2; echo >&2; printf last >&2"
	_, done := run(t, &source.Exec{Command: command, Logger: logger}, newSink())
	if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
		t.Errorf("Run returned %v", err)
	}
	for _, want := range []string{`line="careful: hot"`, "too long", "line=last", "command="} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, out.String())
		}
	}
}

// wantGone waits until there is no process with that number.
func wantGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		// What has ended may wait for whoever is first on this system to
		// collect it.
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("process %d is still there", pid)
			return
		}
	}
}

// pids reads the process numbers that a program has printed as lines.
func pids(t *testing.T, lines []string) (all []int) {
	t.Helper()
	for _, line := range lines {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatalf("got %q, want process numbers", lines)
		}
		all = append(all, pid)
	}
	return all
}

// Whatever a program and its children think of signals, they are gone when Run
// has returned, and no sooner told than needed.
func TestExecStop(t *testing.T) {
	for _, test := range []struct {
		name, command, says string
		processes           int
		grace               time.Duration // long where what comes next shall not come
	}{
		{"at the end of the input", `trap 'echo INT >>$OUT' INT; echo $$; cat; echo EOF >>$OUT`, "EOF\n", 1, 30 * time.Second},
		{"at SIGINT", `trap 'echo INT >>$OUT; exit' INT; trap 'echo TERM >>$OUT; exit' TERM; echo $$; while :; do sleep 0.01; done`, "INT\n", 1, 2 * time.Second},
		{"at SIGTERM", `trap 'echo INT >>$OUT' INT; trap 'echo TERM >>$OUT; exit' TERM; echo $$; while :; do sleep 0.01; done`, "INT\nTERM\n", 1, 2 * time.Second},
		{"at SIGKILL", `trap '' INT TERM; echo $$; while :; do sleep 0.01; done`, "", 1, 100 * time.Millisecond},
		{"with children", `sleep 1000 & echo $!; sh -c 'trap "" INT; echo $$; sleep 1000 & wait; wait' & sleep 1000 & echo $!; wait`, "", 3, 100 * time.Millisecond},
		{"children that ignore all but SIGKILL", `sh -c 'trap "" INT TERM; echo $$; while :; do sleep 1; done' & trap exit INT; wait`, "", 1, 100 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			p := newSink()
			stop, _ := run(t, &source.Exec{Command: "OUT=" + out + "; " + test.command, Grace: test.grace, Logger: quiet}, p)
			all := pids(t, p.wait(t, test.processes))
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
			for _, pid := range all {
				wantGone(t, pid)
			}
			said, err := os.ReadFile(out)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if string(said) != test.says {
				t.Errorf("the program said %q, want %q", said, test.says)
			}
		})
	}
}

// Children do not outlive the shell either, when that ends by itself.
func TestExecLeavesNoChildren(t *testing.T) {
	for name, command := range map[string]string{
		"with the output":    "sleep 1000 & echo $!",
		"without the output": "sleep 1000 >/dev/null 2>&1 & echo $!",
		"deaf to signals":    "(trap '' INT TERM; sleep 1000) & echo $!",
	} {
		t.Run(name, func(t *testing.T) {
			p := newSink()
			_, done := run(t, &source.Exec{Command: command, Grace: 20 * time.Millisecond, Logger: quiet}, p)
			if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
				t.Errorf("Run returned %v", err)
			}
			for _, pid := range pids(t, p.wait(t, 1)) {
				wantGone(t, pid)
			}
		})
	}
}

// A source that is stopped in the middle of much output leaves nobody stuck.
func TestExecStopInOutput(t *testing.T) {
	p := newSink()
	blocked := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	p.answer = func() error {
		once.Do(func() { close(blocked) })
		<-release
		return nil
	}
	stop, _ := run(t, &source.Exec{Command: "echo $$; exec yes", Grace: 100 * time.Millisecond, Logger: quiet}, p)
	<-blocked
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	wantGone(t, pids(t, p.wait(t, 1)[:1])[0])
}
