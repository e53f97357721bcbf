//go:build unix

package source_test

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/source"
)

// diskHub is a hub with a topic on disk that a file feeds.
func diskHub(t *testing.T, dir, path string, hooks stream.Hooks) *stream.Hub {
	t.Helper()
	broker, err := disklog.Open(dir, disklog.Options{History: 1 << 20, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	hub := stream.NewHub(stream.HubOptions{Broker: broker, Hooks: hooks, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		hub.Close()
		broker.Close()
	})
	if err := hub.AddTopic("lines"); err != nil {
		t.Fatal(err)
	}
	if err := hub.AddSource("lines", &source.File{Path: path, Interval: time.Millisecond, Quiet: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	return hub
}

// The process is killed at any moment, and the file is written to and rotated, in
// every way, all the time: each line is an event, once, in the order of the file.
func TestFileKilled(t *testing.T) {
	if dir := os.Getenv("FILE_IN_CHILD"); dir != "" {
		diskHub(t, filepath.Join(dir, "data"), filepath.Join(dir, "app.log"), stream.Hooks{})
		time.Sleep(time.Minute) // it is killed well before
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	appendTo(t, path, "")
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFileKilled$")
		cmd.Env = append(os.Environ(), "FILE_IN_CHILD="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	// The first process finds its place before there is anything to read.
	cmd := start()
	waitFor(t, func() bool { _, err := os.Stat(filepath.Join(dir, "data", disklog.File)); return err == nil })
	time.Sleep(200 * time.Millisecond)

	r := &rotator{t: t, path: path, rand: rand.New(rand.NewPCG(rand.Uint64(), 3))}
	r.open(os.O_APPEND)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			r.write()
			if rand.IntN(10) == 0 {
				r.rotate()
			}
			select {
			case <-stop:
				_ = r.file.Close()
				return
			case <-time.After(time.Duration(rand.IntN(4)) * time.Millisecond):
			}
		}
	})
	for range 12 {
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		cmd = start()
	}
	close(stop)
	writing.Wait()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	var mu sync.Mutex
	var got []string
	hub := diskHub(t, filepath.Join(dir, "data"), path, stream.Hooks{})
	reader, err := hub.Reader("lines")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // until the test is over
		for events := reader.From(stream.ID{}); t.Context().Err() == nil; {
			entries, _ := events.Next(t.Context()) // a gap where the log begins
			mu.Lock()
			for _, e := range entries {
				if e.Event != nil {
					got = append(got, string(e.Event.Data))
				}
			}
			mu.Unlock()
		}
	}()
	waitFor(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) >= r.n || len(got) > 0 && got[len(got)-1] == line(r.n-1)
	})
	time.Sleep(200 * time.Millisecond) // whether anything follows
	mu.Lock()
	defer mu.Unlock()
	if wrong := difference(got); wrong != "" || len(got) != r.n {
		t.Errorf("%d lines, %d events: %s\nwhere the writer did: %q", r.n, len(got), wrong, r.done)
	}
	t.Logf("%d lines", r.n)
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing comes of it")
		}
	}
}
