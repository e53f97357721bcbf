package main

import (
	"context"
	"runtime/debug"
	"sync"
)

// background is what the process does beside serving, until stop.
type background struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func startBackground(ctx context.Context, cfg *config, servers *servers, topics *topics, carrier carrier) *background {
	ctx, cancel := context.WithCancel(ctx)
	b := &background{cancel: cancel}
	b.work.Go(func() { carrier.report(ctx, cfg, servers.addr.String(), topics.handler) })
	b.work.Go(func() {
		tidy(ctx, func() int64 { return topics.handler.Totals().Connections }, debug.FreeOSMemory)
	})
	return b
}

func (b *background) stop() {
	b.cancel()
	b.work.Wait()
}
