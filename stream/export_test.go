package stream

import "weir/stream/eventlog"

// BeginRemoval marks a topic as removed and leaves it in the hub, as it is for a
// moment in the middle of a removal. The function that it returns goes on.
func BeginRemoval(h *Hub, name string) (goOn func()) {
	t, _ := h.topics.get(name)
	t.mu.Lock()
	t.removed = true
	t.mu.Unlock()
	return func() { h.topics.forget(t) }
}

// GapMessage is a gap on the wire.
func GapMessage(g *eventlog.Gap) string { return string(gapMessage(g)) }
