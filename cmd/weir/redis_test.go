package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/stream/streamtest"
)

// startRedis starts a redis-server of the test's own, and returns a client and
// the URL.
func startRedis(t *testing.T) (*redis.Client, string) {
	t.Helper()
	return startRedisAt(t, freeAddr(t))
}

// freeAddr returns an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startRedisAt(t *testing.T, addr string) (*redis.Client, string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs a real redis-server, version 7 or later, on the PATH: apt-get install redis-server")
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() {
		_ = client.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(t, "Redis", func() bool { return client.Ping(context.Background()).Err() == nil })
	return client, "redis://" + addr
}

// publishing is the token of the tests that publish.
const publishing = "tests-may-publish-by-this"

// publishText puts an event of a size into topic t.
func publishText(t *testing.T, p *program, size int) {
	t.Helper()
	req, err := http.NewRequest("POST", p.url+"/publish?topic=t", bytes.NewReader(bytes.Repeat([]byte("x"), size)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Authorization", "Bearer "+publishing)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("publish: %s", resp.Status)
	}
}

// What the flags say of history reaches Redis.
func TestHistoryReachesRedis(t *testing.T) {
	client, url := startRedis(t)
	few := start(t, 1, "-redis", url, "-history", "100", "-publish-rate", "0", "-publish-token", publishing)
	for range 400 {
		publishText(t, few, 10)
	}
	if n := client.XLen(t.Context(), "weir:topic:t").Val(); n < 100 || n > 200 {
		t.Errorf("Redis keeps %d events with -history 100", n)
	}
	if err := few.end(); err != nil {
		t.Fatal(err)
	}
	small := start(t, 1, "-redis", url, "-history-bytes", "1048576", "-publish-rate", "0", "-publish-token", publishing)
	for range 100 {
		publishText(t, small, 50<<10)
	}
	if n := client.MemoryUsage(t.Context(), "weir:topic:t", 0).Val(); n < 700<<10 || n > 1500<<10 {
		t.Errorf("Redis keeps %d bytes with -history-bytes 1048576", n)
	}
}

// A server whose Redis takes no writes is not ready, and is ready again when
// Redis takes them.
func TestReadyFollowsRedis(t *testing.T) {
	client, url := startRedis(t)
	p := start(t, 1, "-redis", url, "-publish-token", publishing)
	until(t, "the server to be ready", func() bool { return status(t, "GET", p.url+"/readyz") == 200 })
	began := time.Now()
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the server not to be ready", func() bool { return status(t, "GET", p.url+"/readyz") == 503 })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %s", took)
	}
	if got := status(t, "POST", p.url+"/publish?topic=t", "Content-Type", "text/plain", "Authorization", "Bearer "+publishing); got != 503 {
		t.Errorf("publishing is answered by %d", got)
	}
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the server to be ready again", func() bool { return status(t, "GET", p.url+"/readyz") == 200 })
	publishText(t, p, 1)
}

// Two servers on one host are two in the cluster view, and one after the other
// has ended.
func TestTwoOnOneHost(t *testing.T) {
	_, url := startRedis(t)
	one, two := start(t, 1, "-redis", url), start(t, 1, "-redis", url)
	view := func() (addrs []string) {
		resp, err := http.Get(one.url + "/sse-health")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var health struct {
			Cluster []struct{ Node, Addr string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
			t.Fatal(err)
		}
		for _, n := range health.Cluster {
			addrs = append(addrs, "http://"+n.Addr)
		}
		return addrs
	}
	until(t, "both to be in the view", func() bool {
		got := fmt.Sprint(view())
		return strings.Contains(got, one.url) && strings.Contains(got, two.url)
	})
	if err := two.end(); err != nil {
		t.Fatal(err)
	}
	if got := view(); len(got) != 1 || got[0] != one.url {
		t.Errorf("after the end of the other: %q", got)
	}
}

// With -redis-wait nobody is refused at a start: the server listens when its
// topics have joined Redis, and its administrators see that it lives until then.
func TestListensWhenTopicsHaveJoined(t *testing.T) {
	redisAddr, public, admin := freeAddr(t), freeAddr(t), freeAddr(t)
	ctx, cancel := context.WithCancel(context.Background())
	stdout, stderr, done := new(streamtest.Buffer), new(streamtest.Buffer), make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-addr", public, "-admin-addr", admin, "-source", "t=http", "-drain", "0", "-redis", "redis://" + redisAddr, "-redis-wait"}, nil, strings.NewReader(""), stdout, stderr)
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	}()
	until(t, "it to wait", func() bool { return strings.Contains(stderr.String(), "waiting for Redis") })
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/metrics": 503} {
		if got := status(t, "GET", "http://"+admin+path); got != want {
			t.Errorf("before: %s answers %d, want %d", path, got, want)
		}
	}
	if conn, err := net.Dial("tcp", public); err == nil {
		conn.Close()
		t.Error("it listens before its topics have joined")
	}
	if stdout.String() != "" {
		t.Errorf("it says: %s", stdout)
	}
	startRedisAt(t, redisAddr)
	until(t, "it to listen", func() bool {
		conn, err := net.Dial("tcp", public)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for url, want := range map[string]int{"http://" + public + "/livez": 200, "http://" + public + "/readyz": 200, "http://" + admin + "/readyz": 200, "http://" + admin + "/metrics": 200} {
		if got := status(t, "GET", url); got != want {
			t.Errorf("afterwards: %s answers %d, want %d", url, got, want)
		}
	}
	if !strings.HasPrefix(stdout.String(), "listening on http://"+public+"\n") {
		t.Errorf("it says: %s", stdout)
	}
}
