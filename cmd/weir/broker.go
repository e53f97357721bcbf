package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/redislog"
	"weir/telemetry"
)

// A carrier keeps events beyond this process: Redis, the disk, or nothing.
type carrier struct {
	broker stream.Broker // nil: the logs in memory alone
	kind   telemetry.BrokerKind
	redis  *redislog.Broker
	ready  func(ctx context.Context) error // nil: nothing to ask
	close  func() error
}

// openBroker opens what the flags ask for.
func openBroker(ctx context.Context, cfg *config, logger *slog.Logger) (carrier, error) {
	switch {
	case cfg.redis != "":
		b, err := openRedis(ctx, cfg, logger)
		if err != nil {
			return carrier{}, err
		}
		return carrier{broker: b, kind: telemetry.BrokerKind{System: "redis", Operation: "EVALSHA"}, redis: b, ready: b.Ready, close: b.Close}, nil
	case cfg.data != "":
		b, err := disklog.Open(cfg.data, disklog.Options{History: cfg.history, Bytes: cfg.historyBytes, Limits: cfg.diskLimits(), Sync: cfg.sync, Logger: logger})
		if err != nil {
			return carrier{}, fmt.Errorf("-data: %w", err)
		}
		return carrier{broker: b, kind: telemetry.BrokerKind{System: "bbolt", Operation: "put"}, ready: b.Ping, close: b.Close}, nil
	}
	return carrier{close: func() error { return nil }}, nil
}

// openRedis fails at once when Redis cannot be reached, or waits for it.
func openRedis(ctx context.Context, cfg *config, logger *slog.Logger) (*redislog.Broker, error) {
	began := time.Now()
	for {
		b, err := redislog.Open(ctx, redislog.Options{URL: cfg.redis, MaxLen: int64(cfg.history), MaxBytes: cfg.historyBytes, Limits: cfg.redisLimits(), Node: cfg.node, Logger: logger})
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, redislog.ErrURL):
			return nil, usagef("-redis: %w", err)
		case !errors.Is(err, stream.ErrUnavailable):
			return nil, fmt.Errorf("-redis: %w", err)
		case !cfg.redisWait:
			return nil, fmt.Errorf("-redis: %w (with -redis-wait, Weir waits for it)", err)
		}
		logger.Warn("waiting for Redis", "for", time.Since(began).Round(time.Second).String(), "error", err)
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// redisLimits returns what Redis keeps of a topic that is made on demand. On-demand
// topics expire in Redis after the same idle time, counted over all nodes.
func (c *config) redisLimits() func(topic string) redislog.Limits {
	demanded := c.onDemand()
	if demanded == nil {
		return nil
	}
	lasting := make(map[string]bool)
	for _, text := range c.sources {
		if spec, err := c.kinds.Parse(text); err == nil {
			lasting[spec.Topic] = true
		}
	}
	return func(topic string) redislog.Limits {
		opts, ok := demanded(topic)
		if !ok || lasting[topic] {
			return redislog.Limits{}
		}
		return redislog.Limits{MaxLen: int64(opts.History), MaxBytes: opts.Bytes, Expire: opts.IdleTTL}
	}
}

// diskLimits returns what the disk keeps of a topic that is made on demand.
func (c *config) diskLimits() func(topic string) disklog.Limits {
	limits := c.redisLimits()
	if limits == nil {
		return nil
	}
	return func(topic string) disklog.Limits {
		l := limits(topic)
		return disklog.Limits{History: int(l.MaxLen), Bytes: l.MaxBytes, Expire: l.Expire}
	}
}

// report tells the other nodes of this one until ctx is done.
func (c carrier) report(ctx context.Context, cfg *config, addr string, handler *stream.Handler) {
	if c.redis == nil {
		return
	}
	started := time.Now()
	c.redis.RunReports(ctx, 5*time.Second, func() redislog.NodeReport {
		return redislog.NodeReport{Node: cfg.node, Addr: addr, Connections: handler.Active(), Started: started, Version: version()}
	})
}

// cluster returns every node's report, or nil when there is no cluster.
func (c carrier) cluster() func(ctx context.Context) (any, error) {
	if c.redis == nil {
		return nil
	}
	return func(ctx context.Context) (any, error) { return c.redis.Cluster(ctx) }
}
