package redislog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// reportLife is how long a report counts that is not renewed.
const reportLife = 15 * time.Second

// A NodeReport is what one process tells the others of itself.
type NodeReport struct {
	// Node is the name of the process. Default: Options.Node.
	Node string `json:"node"`
	// Addr is where it listens; it may be empty.
	Addr string `json:"addr,omitempty"`
	// Connections is how many streams it serves.
	Connections int       `json:"connections"`
	Started     time.Time `json:"started"`
	Version     string    `json:"version,omitempty"`
}

func (b *Broker) nodesKey() string           { return b.opts.Prefix + "nodes" }
func (b *Broker) nodeKey(name string) string { return b.opts.Prefix + "node:" + name }

// Report tells the other nodes of this one. The report counts for 15 seconds.
func (b *Broker) Report(ctx context.Context, r NodeReport) error {
	return b.report(ctx, r, reportLife)
}

func (b *Broker) report(ctx context.Context, r NodeReport, life time.Duration) error {
	if r.Node == "" {
		r.Node = b.opts.Node
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("report node %s: %w", r.Node, err)
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	_, err = b.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, b.nodeKey(r.Node), text, life)
		p.SAdd(ctx, b.nodesKey(), r.Node)
		return nil
	})
	if err != nil {
		return unavailable(fmt.Errorf("report node %s: %w", r.Node, err))
	}
	return nil
}

// Cluster returns the latest report of every node that still counts, by name.
func (b *Broker) Cluster(ctx context.Context) ([]NodeReport, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	names, err := b.client.SMembers(ctx, b.nodesKey()).Result()
	if err != nil {
		return nil, unavailable(fmt.Errorf("cluster: %w", err))
	}
	if len(names) == 0 {
		return nil, nil
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = b.nodeKey(name)
	}
	texts, err := b.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, unavailable(fmt.Errorf("cluster: %w", err))
	}
	var reports []NodeReport
	var gone []any
	for i, text := range texts {
		var r NodeReport
		switch text := text.(type) {
		case nil:
			gone = append(gone, names[i])
		case string:
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				b.logger.WarnContext(ctx, "a node's report cannot be read", "node", names[i], "error", err)
				continue
			}
			reports = append(reports, r)
		}
	}
	if len(gone) > 0 {
		// A node that reports at this very moment is back with its next report.
		if err := b.client.SRem(ctx, b.nodesKey(), gone...).Err(); err != nil {
			b.logger.DebugContext(ctx, "names of nodes that are gone stay in redis", "error", err)
		}
	}
	slices.SortFunc(reports, func(a, b NodeReport) int { return strings.Compare(a.Node, b.Node) })
	return reports, nil
}

// RunReports reports what describe returns, at once and then every so often,
// until ctx is done; then it takes the report back. A report counts for three
// intervals. A failure to report is logged once an outage.
func (b *Broker) RunReports(ctx context.Context, every time.Duration, describe func() NodeReport) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	name, failing := b.opts.Node, false
	for {
		r := describe()
		if r.Node != "" {
			name = r.Node
		}
		err := b.report(ctx, r, 3*every)
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			b.logger.WarnContext(ctx, "this node cannot report to the cluster", "error", err)
			failing = true
		case err == nil && failing:
			b.logger.InfoContext(ctx, "this node reports to the cluster again")
			failing = false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.withdraw(context.WithoutCancel(ctx), name)
			return
		}
	}
}

func (b *Broker) withdraw(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	_, err := b.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, b.nodeKey(name))
		p.SRem(ctx, b.nodesKey(), name)
		return nil
	})
	if err != nil {
		b.logger.DebugContext(ctx, "this node's report stays until it runs out", "error", err)
	}
}
