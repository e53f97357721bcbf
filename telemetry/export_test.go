package telemetry

// What the tests see of the inside.
var (
	Reasons   = reasons
	NewRing   = newRing
	MaxTraces = maxTraces
)

// TerminalHandler is the handler for a terminal.
var TerminalHandler = newTextHandler

// Held returns how many traces the store holds, and how large it takes itself
// to be.
func (t *Telemetry) Held() (traces, bytes int) {
	t.ring.mu.Lock()
	defer t.ring.mu.Unlock()
	return len(t.ring.byID), t.ring.size
}

// LimitTraces replaces the store of recent traces by a smaller one.
func (t *Telemetry) LimitTraces(traces, bytes int) {
	t.ring.mu.Lock()
	defer t.ring.mu.Unlock()
	t.ring.traces, t.ring.bytes = traces, bytes
}

// Reporters returns how many clients' rates are remembered.
func (t *Telemetry) Reporters() int {
	t.reports.mu.Lock()
	defer t.reports.mu.Unlock()
	return len(t.reports.byName)
}
