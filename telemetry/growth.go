package telemetry

import (
	"sync"
	"time"
)

// growth is how fast the logs grow.
type growth struct {
	mu   sync.Mutex
	logs map[string]grown
}

// grown is a log's growth.
type grown struct {
	at   time.Time
	head uint64
	rate float64 // entries a second
}

// growthOver is how long a log is watched before its rate is taken anew.
const growthOver = time.Second

// of returns the rate at which a log grows, in entries a second.
func (g *growth) of(name string, head uint64, now time.Time) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.logs == nil {
		g.logs = make(map[string]grown)
	}
	before, known := g.logs[name]
	since := now.Sub(before.at)
	switch {
	case !known:
		g.logs[name] = grown{at: now, head: head}
	case since >= growthOver:
		before.rate = float64(head-min(head, before.head)) / since.Seconds()
		g.logs[name] = grown{at: now, head: head, rate: before.rate}
	}
	return g.logs[name].rate
}
