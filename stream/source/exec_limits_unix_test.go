//go:build unix

package source_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/source"
	"weir/stream/streamtest"
)

// What has left the process group and holds the output does not hold the end
// up, whatever it goes on to print, and whether the program is to end or has.
func TestExecEscapedGoesOn(t *testing.T) {
	const grace = 100 * time.Millisecond
	for name, prints := range map[string]string{
		"nothing":   "sleep 1000",
		"slowly":    "while sleep 0.02; do echo more; echo more >&2; done",
		"much":      "yes " + strings.Repeat("y", 500),
		"much else": "yes " + strings.Repeat("y", 500) + " >&2",
	} {
		for _, stopped := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", stopped ", stopped), func(t *testing.T) {
				t.Parallel()
				command := escaping(t, prints)
				if stopped {
					command += "wait"
				} else {
					command += "sleep 0.2"
				}
				p := newSink()
				stop, done := run(t, &source.Exec{Command: command, Grace: grace, Logger: quiet}, p)
				escaped := pids(t, p.wait(t, 1)[:1])[0]
				defer endEscaped(t, escaped)
				began := time.Now()
				if stopped {
					if err := stop(); !errors.Is(err, context.Canceled) {
						t.Errorf("Run returned %v", err)
					}
				} else if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
					t.Errorf("Run returned %v", err)
				}
				if took := time.Since(began); took > 10*time.Second { // on a busy machine
					t.Errorf("the end took %v", took)
				}
			})
		}
	}
}

// escaping returns a command that runs another outside of the group, prints its
// number, and goes on when it has escaped.
func escaping(t *testing.T, command string) string {
	t.Helper()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("there is no setsid here")
	}
	mark := filepath.Join(t.TempDir(), "escaped")
	return fmt.Sprintf("setsid sh -c 'echo $$; : >%s; %s' & while [ ! -e %[1]s ]; do sleep 0.01; done; ", mark, command)
}

// endEscaped ends what has escaped, which must have lived until now.
func endEscaped(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		t.Errorf("it has not escaped: %v", err)
	}
	wantGone(t, pid)
}

// The last lines of a program are published though something has escaped.
func TestExecEscapedLastLines(t *testing.T) {
	p := newSink()
	_, done := run(t, &source.Exec{Command: escaping(t, "exec sleep 1000") + "seq 5000", Grace: 50 * time.Millisecond, Logger: quiet}, p)
	if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
		t.Errorf("Run returned %v", err)
	}
	got := p.wait(t, 5001)
	endEscaped(t, pids(t, got[:1])[0])
	if len(got) != 5001 || got[5000] != "5000" {
		t.Errorf("got %d lines, the last %q", len(got), got[len(got)-1])
	}
}

// No credential of Weir's is in the environment of a program.
func TestExecEnvironment(t *testing.T) {
	t.Setenv("WEIR_PUBLISH_TOKEN", "s3cret")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret")
	t.Setenv("MINE", "kept")
	p := newSink()
	_, done := run(t, &source.Exec{Command: "env", Logger: quiet}, p)
	if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
		t.Errorf("Run returned %v", err)
	}
	if env := strings.Join(p.text, "\n"); strings.Contains(env, "s3cret") || strings.Contains(env, "WEIR_") || !strings.Contains(env, "MINE=kept") || !strings.Contains(env, "PATH=") {
		t.Errorf("the environment is\n%s", env)
	}
	p = newSink()
	_, done = run(t, &source.Exec{Command: "echo $A $MINE", Env: []string{"A=1"}, Logger: quiet}, p)
	_ = ends(t, done)
	p.want(t, "1")
}

// A flood on standard error is not a flood of the log, which says what it lacks.
func TestExecStandardErrorFlood(t *testing.T) {
	out := new(streamtest.Buffer)
	logger := slog.New(slog.NewTextHandler(out, nil))
	_, done := run(t, &source.Exec{Command: "seq 300000 >&2; head -c 5000 /dev/zero | tr '\\0' x >&2; echo done", Logger: logger}, newSink())
	if err := ends(t, done); !errors.Is(err, stream.ErrRestart) {
		t.Errorf("Run returned %v", err)
	}
	said := out.String()
	logged := strings.Count(said, "standard error of a command\"")
	left := 0
	for _, m := range regexp.MustCompile(`were left out".* lines=(\d+)`).FindAllStringSubmatch(said, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		left += n
	}
	if logged+left != 300_001 || logged < 100 || logged > 400 || len(said) > 200_000 {
		t.Errorf("%d lines are logged, and %d left out, in %d bytes", logged, left, len(said))
	}
	if !strings.Contains(said, "prints much") {
		t.Error("nothing tells that lines are left out at the time")
	}
}

// After a flood the log is open again.
func TestExecStandardErrorAfterFlood(t *testing.T) {
	out := new(streamtest.Buffer)
	logger := slog.New(slog.NewTextHandler(out, nil))
	_, done := run(t, &source.Exec{Command: "seq 1000 >&2; sleep 1; echo later >&2; head -c 3000 /dev/zero | tr '\\0' z >&2", Logger: logger}, newSink())
	_ = ends(t, done)
	if said := out.String(); !strings.Contains(said, "line=later") || strings.Index(said, "left out\"") > strings.Index(said, "line=later") || !strings.Contains(said, "bytes=3000") || strings.Contains(said, strings.Repeat("z", 1025)) {
		t.Errorf("the log ends in %.500s", said[max(0, len(said)-500):])
	}
}

// What is left out is told line for line and byte for byte, each time anew.
func TestExecStandardErrorAccount(t *testing.T) {
	out := new(streamtest.Buffer)
	logger := slog.New(slog.NewTextHandler(out, nil))
	_, done := run(t, &source.Exec{Command: "seq 1000 >&2; sleep 0.5; seq 1000 >&2; sleep 0.5; seq 1000 >&2", Logger: logger}, newSink())
	_ = ends(t, done)
	lines, bytes, told := 0, 0, 0
	for _, m := range regexp.MustCompile(`were left out".* lines=(\d+) bytes=(\d+)`).FindAllStringSubmatch(out.String(), -1) {
		told++
		n, _ := strconv.Atoi(m[1])
		size, _ := strconv.Atoi(m[2])
		lines, bytes = lines+n, bytes+size
	}
	for _, m := range regexp.MustCompile(` line=(\d+)`).FindAllStringSubmatch(out.String(), -1) {
		lines, bytes = lines+1, bytes+len(m[1])
	}
	if lines != 3000 || bytes != 3*2893 || told < 3 {
		t.Errorf("%d lines of %d bytes are accounted for, in %d messages", lines, bytes, told)
	}
}

// A program does not outlive the process, however that ends.
func TestExecDiesWithProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no such signal here")
	}
	if command := os.Getenv("EXEC_IN_CHILD"); command != "" {
		_ = (&source.Exec{Command: command, Logger: quiet}).Run(context.Background(), printer{})
		return
	}
	for _, command := range []string{"echo $$; exec sleep 1000", "trap '' INT TERM; echo $$; while :; do sleep 0.05; done"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestExecDiesWithProcess$")
		cmd.Env = append(os.Environ(), "EXEC_IN_CHILD="+command)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		pid, convErr := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || convErr != nil {
			t.Fatal(line, err, convErr)
		}
		time.Sleep(100 * time.Millisecond) // the threads of the process come and go
		if syscall.Kill(pid, 0) != nil {
			t.Error("the program has died before the process")
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		wantGone(t, pid)
	}
}

// A printer publishes to standard output.
type printer struct{}

func (printer) Publish(_ context.Context, events ...stream.Event) error {
	for e := range slices.Values(events) {
		fmt.Printf("%s\n", e.Data)
	}
	return nil
}

func (printer) Fail(error) {}
