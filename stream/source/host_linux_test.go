package source_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"weir/stream/source"
)

// What the files of the proc file system say is read as proc(5) has it.
func TestHostProc(t *testing.T) {
	const meminfo = "MemTotal:       4000 kB\nMemFree:        100 kB\nMemAvailable:   1000 kB\nBuffers: 1 kB\n"
	for _, test := range []struct {
		name, before, after, meminfo string
		want                         map[string]float64
	}{
		{"busy for a quarter", "cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 1 1 1 1\n", "cpu  110 5 5 950 10 0 0 0 0 0\n", meminfo,
			map[string]float64{"cpu_percent": 25, "memory_percent": 75}},
		{"guest time is in user time", "cpu  0 0 0 0 0 0 0 0 0 0\n", "cpu  10 0 0 10 0 0 0 0 10 0\n", meminfo,
			map[string]float64{"cpu_percent": 50, "memory_percent": 75}},
		{"idle", "cpu  5 5 5 100 0 0 0 0\n", "cpu  5 5 5 200 0 0 0 0\n", meminfo,
			map[string]float64{"cpu_percent": 0, "memory_percent": 75}},
		{"iowait goes back", "cpu  0 0 0 100 50 0 0 0\n", "cpu  10 0 0 100 40 0 0 0\n", meminfo,
			map[string]float64{"cpu_percent": 100, "memory_percent": 75}},
		{"no tick has passed", "cpu  1 1 1 1\n", "cpu  1 1 1 1\n", meminfo,
			map[string]float64{"memory_percent": 75}},
		{"counters begin again", "cpu  500 0 0 500\n", "cpu  1 0 0 1\n", meminfo,
			map[string]float64{"memory_percent": 75}},
		{"more memory than there is", "cpu  1 1 1 1\n", "cpu  1 1 1 1\n", "MemTotal: 1000 kB\nMemAvailable: 1200 kB\n",
			map[string]float64{"memory_percent": 0}},
		{"work goes back", "cpu  50 0 0 100 0 0 0 0\n", "cpu  20 0 0 200 0 0 0 0\n", meminfo,
			map[string]float64{"cpu_percent": 0, "memory_percent": 75}},
		{"something else", "cpu  a b c d\n", "intr 1 2 3 4 5\n", "MemTotal: many kB\n", map[string]float64{}},
		{"old kernel without MemAvailable", "", "", "MemTotal: 1 kB\n", map[string]float64{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			set := func(name, text string) {
				// In one step: it may be read at any moment.
				if err := os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			set("meminfo", test.meminfo)
			set("stat", test.before)
			n := 0
			h := &source.Host{Proc: dir, Connections: func() int { // is asked after the machine has been read
				if n++; n == 1 {
					set("stat", test.after)
				}
				return n
			}}
			got := readings(t, h, 2)[1]
			maps.DeleteFunc(got, func(key string, _ float64) bool {
				return !slices.Contains([]string{"cpu_percent", "memory_percent"}, key)
			})
			if !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
