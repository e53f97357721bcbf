package redislog_test

import (
	"strings"
	"testing"

	"weir/stream"
	"weir/stream/redislog"
)

// A Redis that can be read and takes no writes is told on the streams as one that is
// away: to those that are open, and to those that open meanwhile, which are served what
// Redis holds.
func TestTakesNoWrites(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ set, unset []any }{
		"out of memory":     {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"too few replicas":  {[]any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}},
		"writes are paused": {[]any{"CLIENT", "PAUSE", "600000", "WRITE"}, []any{"CLIENT", "UNPAUSE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			n := newNode(t, redislog.Options{URL: s.url(), Timeout: short})
			c := n.connect(stream.ID{})
			ids := n.mustPublish(0, 3)
			c.awaitNumber(2)
			s.do(fault.set...)
			c.awaitCount("stream-error", 1)
			n.awaitState(stream.SourceDown)
			await(t, "more pulses", func() bool {
				h := n.hub.Health()[topic].Broker
				if h.Err == nil || strings.Contains(h.Err.Error(), "does not come back") {
					t.Fatalf("while Redis takes nothing, it is said: %v", h.Err)
				}
				return h.Failures >= 8
			})
			maybe := n.refuses(-1, 5*short)
			newcomer := n.connect(ids[0])
			newcomer.awaitNumber(2)
			newcomer.awaitCount("stream-error", 1)
			newcomer.wants(upTo(1, 3), 1)

			// A node that starts meanwhile serves what Redis holds, and says so, too.
			late := newNodeStarting(t, openBroker(t, redislog.Options{URL: s.url(), Timeout: short}))
			late.awaitState(stream.SourceDown)
			reader := late.connect(ids[0])
			reader.awaitNumber(2)
			reader.awaitCount("stream-error", 1)

			s.do(fault.unset...)
			for _, n := range []*node{n, late} {
				n.awaitState(stream.SourceUp)
			}
			await(t, "publishing works", func() bool { _, err := n.publish(3); return err == nil })
			for _, c := range []*client{c, reader, newcomer} {
				c.awaitNumber(3)
			}
			after := n.connect(ids[2])
			after.awaitNumber(3)
			if !maybe {
				after.wants([]int{3}, 0)
			}
		})
	}
}
