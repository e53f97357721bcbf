package main

import (
	"io"

	"weir/stream"
	"weir/stream/source"
)

// useProcess gives the sources that look at this process what they look at.
func useProcess(stdin io.Reader, handler *stream.Handler) {
	source.SetStdin(stdin)
	source.SetHostConnections(handler.Active)
}
