package redislog

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
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
	// Connections is how many streams it served when it reported: with RunReports up
	// to an interval ago.
	Connections int       `json:"connections"`
	Started     time.Time `json:"started"`
	Version     string    `json:"version,omitempty"`
}

//go:embed report.lua
var reportLua string

var reportScript = redis.NewScript(reportLua)

func (b *Broker) nodesKey() string { return b.opts.Prefix + "cluster" }

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
	return b.tell(ctx, r.Node, string(text), life)
}

// tell keeps a report, or takes it back when it is empty. Two processes of the
// same name are two.
func (b *Broker) tell(ctx context.Context, node, text string, life time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	key := b.nodesKey()
	if _, err := b.run(ctx, reportScript, key, []string{key}, []any{node + "/" + b.instance, text, life.Milliseconds()}); err != nil {
		return unavailable(fmt.Errorf("report node %s: %w", node, err))
	}
	return nil
}

// Cluster returns the latest report of every node that still counts, by name
// and address.
func (b *Broker) Cluster(ctx context.Context) ([]NodeReport, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	client, err := b.servers.forKey(ctx, b.nodesKey())
	if err != nil {
		return nil, unavailable(fmt.Errorf("cluster: %w", err))
	}
	var now *redis.TimeCmd
	var all *redis.MapStringStringCmd
	if _, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		now, all = p.Time(ctx), p.HGetAll(ctx, b.nodesKey())
		return nil
	}); err != nil {
		return nil, unavailable(fmt.Errorf("cluster: %w", err))
	}
	var reports []NodeReport
	for name, stored := range all.Val() {
		ends, text, _ := strings.Cut(stored, " ")
		ms, err := strconv.ParseInt(ends, 10, 64)
		var r NodeReport
		if err == nil {
			err = json.Unmarshal([]byte(text), &r)
		}
		switch {
		case err != nil:
			b.logger.WarnContext(ctx, "a node's report cannot be read", "node", name, "error", err)
		case ms >= now.Val().UnixMilli():
			reports = append(reports, r)
		}
	}
	slices.SortFunc(reports, func(a, b NodeReport) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Addr, b.Addr))
	})
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
	if err := b.tell(ctx, name, "", 0); err != nil {
		b.logger.DebugContext(ctx, "this node's report stays until it runs out", "error", err)
	}
}
