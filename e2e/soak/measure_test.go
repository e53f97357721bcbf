//go:build unix

package main

import (
	"maps"
	"slices"
	"testing"
)

func TestSocketsTo(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0
   1: 0100007F:9C41 0100007F:3A98 01 00000000:00000000 00:00000000 00000000     0        0 200 1 0 20 4 30 10 -1
   2: 0100007F:3A98 0100007F:9C41 01 00000000:00000000 00:00000000 00000000     0        0 300 1 0 20 4 30 10 -1
`
	got := slices.Collect(maps.Keys(socketsTo(table, "127.0.0.1:15000")))
	if !slices.Equal(got, []string{"200"}) {
		t.Errorf("the sockets to port 15000 are %v, want 200 alone", got)
	}
}

func TestReturned(t *testing.T) {
	base := figures{goroutines: 10, fds: 12, rss: 1}
	for _, c := range []struct {
		now  figures
		want int
	}{
		{figures{goroutines: 10 + few, fds: 12 + few, rss: 1 << 30, redis: 50}, 0},
		{figures{goroutines: 11 + few, fds: 12}, 1},
		{figures{goroutines: 10, fds: 13 + few}, 1},
		{figures{connections: 1, goroutines: 11 + few, fds: 13 + few}, 3},
	} {
		if not := c.now.returned(base); len(not) != c.want {
			t.Errorf("%+v after %+v: %q, want %d of them", c.now, base, not, c.want)
		}
	}
}
