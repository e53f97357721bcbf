//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/stream"
)

const (
	batchSize  = 10
	batchEvery = 50 * time.Millisecond // 200 events a second
	// inFlight is how many batches may be waiting for their answers: enough for
	// the time that a node is stopped.
	inFlight = 200
)

// A publisher puts numbered events in. It never repeats an event: what was not
// acknowledged is noted and left.
type publisher struct {
	ledger *ledger
	nodes  []*node
	client *http.Client
	fault  func(format string, args ...any)
}

func newPublisher(l *ledger, nodes []*node, fault func(string, ...any)) *publisher {
	return &publisher{ledger: l, nodes: nodes, fault: fault, client: &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 4},
	}}
}

// run publishes to the nodes in turn until ctx is done, and returns when the
// last answer is there.
func (p *publisher) run(ctx context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, inFlight)
	due := time.Now()
	for turn := 0; ; turn++ {
		// What a busy machine has delayed is made up for, but not for long.
		due = later(due.Add(batchEvery), time.Now().Add(-time.Second))
		sleep(ctx, time.Until(due))
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
			return
		}
		open.Go(func() {
			p.publish(p.nodes[turn%len(p.nodes)], batchSize)
			<-slots
		})
	}
}

// publish puts n events in, in one request, and returns the ID of the last if
// they were acknowledged.
func (p *publisher) publish(to *node, n int) (last stream.ID, ok bool) {
	first := p.ledger.begin(n)
	var body strings.Builder
	for i := range n {
		// Of various lengths, so that events end everywhere in a buffer.
		fmt.Fprintf(&body, "{%s%d,\"padding\":%q}\n", numberField, first+i, padding[:rand.IntN(len(padding))])
	}
	req, err := http.NewRequest("POST", "http://"+to.addr+"/publish?topic="+topicName, strings.NewReader(body.String()))
	if err != nil {
		panic(err) // the address is our own
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := p.client.Do(req)
	if err != nil {
		what := unanswered
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			what = refused // nobody was there to take it
		}
		p.ledger.fail(first, n, what)
		return stream.ID{}, false
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		p.ledger.fail(first, n, refused)
		return stream.ID{}, false
	case resp.StatusCode != http.StatusOK:
		p.ledger.fail(first, n, refused)
		p.fault("node %s answers %s to a publisher", to.name, resp.Status)
		return stream.ID{}, false
	}
	ids, err := idsOf(resp)
	if err != nil || len(ids) != n {
		p.ledger.fail(first, n, unanswered)
		if err == nil {
			p.fault("node %s answers %d events with %d IDs", to.name, n, len(ids))
		}
		return stream.ID{}, false
	}
	p.ledger.acknowledge(first, ids)
	return ids[n-1], true
}

func idsOf(resp *http.Response) ([]stream.ID, error) {
	var answer struct{ IDs []string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	ids := make([]stream.ID, len(answer.IDs))
	for i, text := range answer.IDs {
		id, err := stream.ParseID(text)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

// finish publishes one event more, which every client must reach: all that
// came before it in the topic is then known to be there or not.
func (p *publisher) finish(ctx context.Context) (stream.ID, error) {
	var marker stream.ID
	turn := 0
	err := eventually(ctx, patience, "the last event is not acknowledged", func() bool {
		var ok bool
		marker, ok = p.publish(p.nodes[turn%len(p.nodes)], 1)
		turn++
		return ok
	})
	return marker, err
}

var padding = strings.Repeat("water under the bridge ", 25)
