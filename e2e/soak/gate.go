//go:build unix

package main

import (
	"sync"
	"syscall"
)

// A gate stands between a node and its disk. Its methods may be called by any
// goroutine.
type gate struct {
	mu      sync.Mutex
	state   diskState
	changed chan struct{} // closed when state has
}

type diskState int

const (
	well   diskState = iota
	frozen           // what is asked of it is not answered
	full             // it takes nothing more
)

func (g *gate) set(state diskState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = state
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) well() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == well
}

// decide returns what becomes of a call, once that is known.
func (g *gate) decide(call string) error {
	for {
		g.mu.Lock()
		state, changed := g.state, g.changed
		g.mu.Unlock()
		switch {
		case state == frozen:
			<-changed
		case state == full && call == "pwrite":
			return syscall.ENOSPC
		default:
			return nil
		}
	}
}
