package source_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/disklog/disktest"
	"weir/stream/source"
)

// The disk freezes for longer than anybody waits, and goes on: what was on its
// way then is in, once.
func TestFileFrozenDisk(t *testing.T) {
	dir := os.Getenv("FROZEN_IN_CHILD")
	if dir == "" { // the filter before the disk stays for the life of a process
		memory, err := os.MkdirTemp("/dev/shm", "weir-frozen-")
		if err != nil {
			memory = t.TempDir()
		}
		t.Cleanup(func() { os.RemoveAll(memory) })
		cmd := exec.Command(os.Args[0], "-test.run=^TestFileFrozenDisk$", "-test.v")
		cmd.Env = append(os.Environ(), "FROZEN_IN_CHILD="+memory)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var mu sync.Mutex
	frozen := make(chan struct{})
	close(frozen)
	err := disktest.Intercept(func(disktest.Call) error {
		mu.Lock()
		wait := frozen
		mu.Unlock()
		<-wait
		return nil
	})
	if err != nil {
		t.Skip(err)
	}
	broker, err := disklog.Open(filepath.Join(dir, "data"), disklog.Options{Patience: 100 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	hub := stream.NewHub(stream.HubOptions{Broker: broker, Logger: slog.New(slog.DiscardHandler), Hooks: stream.Hooks{Receive: func(_ string, e *stream.Event) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(e.Data))
	}}})
	defer broker.Close()
	defer hub.Close()
	if err := hub.AddTopic("lines"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "app.log")
	appendTo(t, path, "")
	if err := hub.AddSource("lines", &source.File{Path: path, Interval: time.Millisecond, FromStart: true}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 4 {
		thaw := make(chan struct{})
		mu.Lock()
		frozen = thaw
		mu.Unlock()
		for j := range 3 {
			want = append(want, fmt.Sprint("line ", i, " ", j))
			appendTo(t, path, want[len(want)-1]+"\n")
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Duration(i) * 250 * time.Millisecond)
		close(thaw)
		waitFor(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(got) >= len(want)
		})
	}
	time.Sleep(300 * time.Millisecond) // whether anything follows
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
