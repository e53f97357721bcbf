package main

import (
	"context"
	"time"
)

// surge is how many new connections leave enough behind to be tidied up.
const surge = 1000

// tidy has memory given back after a surge of connections, until ctx is done.
// What establishing them has left is garbage, as much as a quarter of what they
// hold, and a server that is quiet afterwards would not collect it for minutes.
func tidy(ctx context.Context, connections func() int64, free func()) {
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	var tidied, before int64
	for {
		select {
		case <-seconds.C:
		case <-ctx.Done():
			return
		}
		now := connections() // ever
		if now-tidied >= surge && now-before < surge/100 {
			free()
			tidied = now
		}
		before = now
	}
}
