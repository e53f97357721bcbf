package source

import (
	"context"

	"weir/stream"
)

func openHTTP(argument string) (stream.Source, error) {
	return HTTP{}, noArgument("http", argument)
}

// HTTP is the source of a topic that is fed from outside only, by
// POST /publish. It publishes nothing, so its state stays stream.SourceStarting. A
// program's own topic needs it not: Hub.AddTopic is enough.
type HTTP struct{}

// Run implements [stream.Source]: it waits for ctx.
func (HTTP) Run(ctx context.Context, _ stream.Publisher) error {
	<-ctx.Done()
	return ctx.Err()
}
