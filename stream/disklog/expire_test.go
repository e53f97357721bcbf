package disklog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/disklog"
)

// A topic that expires is removed when its time is over and nobody follows it,
// with all that belongs to it; the space is used again.
func TestExpire(t *testing.T) {
	dir := t.TempDir()
	opts := disklog.Options{Limits: func(topic string) disklog.Limits {
		if strings.HasPrefix(topic, "run.") {
			return disklog.Limits{Expire: time.Hour, History: 3}
		}
		return disklog.Limits{}
	}}
	b := open(t, dir, opts)
	put := func(topic string, n int) {
		t.Helper()
		for i := range n {
			e := identified(i)
			e.Data = []byte(strings.Repeat("x", 2000))
			submit(t, b, topic, &stream.Publication{Events: []*stream.Event{e}, Checkpoint: []byte("here")})
		}
	}
	held := func(topic string) int {
		t.Helper()
		log, stop := follow(t, b, topic)
		defer stop()
		return log.Stats().Entries
	}
	put("run.1", 5)
	put("kept", 5)
	put("run.followed", 2)
	_, stop := follow(t, b, "run.followed")
	submit(t, b, "run.ended", &stream.Publication{End: "over"})
	b.Sweep(time.Now().Add(59 * time.Minute))
	if one, kept := held("run.1"), held("kept"); one != 3 || kept != 5 {
		t.Errorf("before their time there are %d and %d events", one, kept)
	}
	b.Sweep(time.Now().Add(61 * time.Minute))
	if one, kept, followed := held("run.1"), held("kept"), held("run.followed"); one != 0 || kept != 5 || followed != 2 {
		t.Errorf("after their time there are %d, %d and %d events", one, kept, followed)
	}
	if checkpoint, err := b.Checkpoint(t.Context(), "run.1"); err != nil || checkpoint != nil {
		t.Errorf("the checkpoint is %q, %v", checkpoint, err)
	}
	put("run.ended", 1) // it begins again
	put("run.1", 1)     // its events are no duplicates
	if n := held("run.1"); n != 1 {
		t.Errorf("it begins again with %d events", n)
	}
	stop()
	b.Sweep(time.Now().Add(2 * time.Hour))
	if n := held("run.followed"); n != 0 {
		t.Errorf("nobody follows it any more, and there are %d events", n)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, disklog.File))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := int64(0)
	for round := range 10 {
		for i := range 20 {
			put(fmt.Sprint("run.", round, ".", i), 3)
		}
		b.Sweep(time.Now().Add(2 * time.Hour))
		if round == 1 {
			before = size()
		}
	}
	if after := size(); after > before+before/2 {
		t.Errorf("the file has grown from %d to %d bytes by topics that are gone", before, after)
	}
	shut(t, b)
	b = open(t, dir, opts)
	if n := held("kept"); n != 5 {
		t.Errorf("after a restart there are %d events", n)
	}
}
