//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weir/stream/streamtest"
)

func signalSelf(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// SIGHUP reads the token file again; a faulty one changes nothing and is told.
func TestHangupReloadsTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("publish old-hush t\n")
	p := start(t, 1, "-token-file", path)
	publish := func(token string) int {
		return status(t, "POST", p.url+"/publish?topic=t", "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	if got := publish("old-hush"); got != 200 {
		t.Errorf("%d", got)
	}
	write("publish new-hush t\nnonsense\n")
	signalSelf(t, syscall.SIGHUP)
	until(t, "the refusal", func() bool { return strings.Contains(p.stderr.String(), "reload failed") })
	if !strings.Contains(p.stderr.String(), "line 2") {
		t.Errorf("stderr: %s", p.stderr)
	}
	if old, fresh := publish("old-hush"), publish("new-hush"); old != 200 || fresh != 401 {
		t.Errorf("after a faulty file: %d, %d", old, fresh)
	}
	write("publish new-hush t\n")
	signalSelf(t, syscall.SIGHUP)
	until(t, "the new tokens", func() bool { return publish("new-hush") == 200 })
	if got := publish("old-hush"); got != 401 {
		t.Errorf("the old token is good still: %d", got)
	}
	if strings.Contains(p.stderr.String(), "hush") {
		t.Errorf("a token is in the log: %s", p.stderr)
	}
}

// SIGTERM while the server waits for Redis is an orderly end.
func TestSignalWhileWaitingForRedis(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	stderr := new(streamtest.Buffer)
	done := make(chan error, 1)
	go func() {
		done <- run(context.Background(), []string{"-addr", "127.0.0.1:0", "-source", "http", "-redis", "redis://" + closed.Addr().String(), "-redis-wait"}, nil, strings.NewReader(""), io.Discard, stderr)
	}()
	until(t, "progress", func() bool { return strings.Contains(stderr.String(), "waiting for Redis") })
	signalSelf(t, syscall.SIGTERM)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
