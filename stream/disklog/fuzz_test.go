package disklog_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"weir/stream/disklog"
)

// FuzzFile writes over a file in two places: it is refused as damaged, or opens
// and can be read.
func FuzzFile(f *testing.F) {
	content, want := filled(f)
	dir := memoryDir(f)
	f.Add(uint32(0), []byte{1}, uint32(4096*5), []byte("topics"))
	f.Add(uint32(4096*2+8), []byte{0x10, 0, 0xff, 0xff}, uint32(4096*2+16), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add(uint32(4096*3+12), []byte{0, 0, 0, 0x40}, uint32(4096*6+10), []byte{0, 0})
	f.Fuzz(func(t *testing.T, at1 uint32, with1 []byte, at2 uint32, with2 []byte) {
		broken := bytes.Clone(content)
		copy(broken[int(at1)%len(broken):], with1)
		copy(broken[int(at2)%len(broken):], with2)
		if err := os.WriteFile(filepath.Join(dir, disklog.File), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := disklog.Open(dir, disklog.Options{History: damagedHistory, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			if !errors.Is(err, disklog.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		for topic := range want {
			follow(t, b, topic)
		}
		shut(t, b)
	})
}
