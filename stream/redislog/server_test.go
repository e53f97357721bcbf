package redislog_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/stream/redislog"
)

// patience bounds every wait of the tests for what must come.
const patience = 30 * time.Second

// A server is a redis-server of the test's own.
type server struct {
	t      testing.TB
	dir    string
	port   int
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
	out    *logBuffer
}

// logBuffer takes the server's output, to be shown when a test fails.
type logBuffer struct {
	ready chan struct{} // closed when the server has loaded its data

	mu   sync.Mutex
	buf  bytes.Buffer
	told bool
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.buf.Write(p)
	if !b.told && bytes.Contains(b.buf.Bytes(), []byte("Ready to accept connections")) {
		b.told = true
		close(b.ready)
	}
	return n, err
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// persistent makes a server that has every acknowledged write on disk.
var persistent = []string{"--appendonly", "yes", "--appendfsync", "always"}

// startRedis starts a server on a free port; it ends with the test. Without
// arguments it keeps nothing on disk.
func startRedis(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: freePort(t), args: args}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("redis-server wrote:\n%s", s.out)
		}
	})
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if port > 65535-10000 { // a cluster needs the port that is 10,000 above, too
		return freePort(t)
	}
	return port
}

func (s *server) start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("these tests need a real redis-server, version 7 or later, on the PATH: apt-get install redis-server")
	}
	args := append([]string{
		"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no",
	}, s.args...)
	s.cmd = exec.Command(path, args...)
	s.out = &logBuffer{ready: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = orphanless
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	select {
	case <-s.out.ready:
	case <-exited:
		s.t.Fatalf("redis-server ended:\n%s", s.out)
	case <-time.After(patience):
		s.t.Fatalf("redis-server is not ready after %s:\n%s", patience, s.out)
	}
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.exited
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// lose removes what the server has on disk.
func (s *server) lose() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) url() string { return "redis://" + s.addr() }

// do runs a command past the brokers, over a connection of its own.
func (s *server) do(args ...any) any {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.addr()})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v, err := c.Do(ctx, args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// try is do for a server that may be away, or refuse.
func (s *server) try(args ...any) any {
	c := redis.NewClient(&redis.Options{Addr: s.addr(), MaxRetries: -1})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v, err := c.Do(ctx, args...).Result()
	if err != nil {
		return nil
	}
	return v
}

// openBroker opens a broker with times fit for a test.
func openBroker(t testing.TB, opts redislog.Options) *redislog.Broker {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Second // a busy machine is no outage
	}
	if opts.Check == 0 {
		opts.Check = 100 * time.Millisecond
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := redislog.Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// replicate takes over the events of the topic, so many, from a primary, and goes its own
// way from there on.
func (s *server) replicate(primary *server, events int64) {
	s.t.Helper()
	s.do("REPLICAOF", "127.0.0.1", strconv.Itoa(primary.port))
	await(s.t, "the replica has the events", func() bool {
		return s.do("EXISTS", "weir:topic:"+topic) == int64(1) && s.do("XLEN", "weir:topic:"+topic) == events
	})
	s.do("REPLICAOF", "NO", "ONE")
}
