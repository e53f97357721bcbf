package stream

import (
	"slices"
	"time"
)

// maxFaulted is how many streams that a fault has ended are remembered.
const maxFaulted = 256

// A Faulted is a stream that a fault has ended: see [CloseReason.Fault].
type Faulted struct {
	ID, Topic string
	Subjects  []string
	Reason    CloseReason
	At        time.Time
	// Events is Conn.Events. Unsent and AtLeast are what Conn.Unsent says.
	Events, Unsent int64
	AtLeast        bool
}

// Faulted returns what is remembered of the stream with this ID, of the last 256 that a
// fault has ended. A client that was cut off can be told of that by nobody at the time:
// it may ask, when it is back.
func (h *Handler) Faulted(id string) (f Faulted, ok bool) {
	h.conns.mu.Lock()
	defer h.conns.mu.Unlock()
	i := slices.IndexFunc(h.conns.faulted, func(f Faulted) bool { return f.ID == id })
	if i < 0 {
		return Faulted{}, false
	}
	return h.conns.faulted[i], true
}

// remember takes note of a stream that a fault has ended. The caller holds a.mu.
func (a *conns) remember(c *Conn, reason CloseReason) {
	if !reason.Fault() {
		return
	}
	f := Faulted{ID: c.ID, Topic: c.Topic, Subjects: c.Subjects, Reason: reason, At: time.Now(), Events: c.Events()}
	f.Unsent, f.AtLeast = c.Unsent()
	if len(a.faulted) < maxFaulted {
		a.faulted = append(a.faulted, f)
		return
	}
	a.faulted[a.oldest] = f
	a.oldest = (a.oldest + 1) % maxFaulted
}
