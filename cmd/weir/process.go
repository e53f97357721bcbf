package main

import (
	"io"
	"sync/atomic"

	"weir/stream"
	"weir/stream/source"
)

// A process is what sources look at that read this process: its standard
// input, and how many streams are open.
type process struct {
	stdin   io.Reader
	handler atomic.Pointer[stream.Handler] // nil until there is one
}

// kinds lists the kinds of sources that -source knows.
func (p *process) kinds() source.Kinds {
	return source.Standard(p.stdin, func() int {
		if h := p.handler.Load(); h != nil {
			return h.Active()
		}
		return 0
	})
}
