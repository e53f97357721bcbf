//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream"
)

const (
	batchSize = 10
	// inFlight is how many batches may be waiting for their answers: enough for
	// the time that a node is stopped.
	inFlight = 200
	// insists is for how long a batch is published again.
	insists = 2 * patience
)

// A publisher puts numbered events in, as CloudEvents whose IDs are their
// numbers. What is not acknowledged it publishes again until it is, to one node
// or the other: the topic must have each once.
type publisher struct {
	stage  *stage
	ledger *ledger
	every  time.Duration // between two batches
	client *http.Client
	fault  func(format string, args ...any)

	again atomic.Int64 // events that were published more than once
	held  atomic.Int64 // of those, how many were in already
}

func newPublisher(g *stage, every time.Duration, fault func(string, ...any)) *publisher {
	return &publisher{stage: g, ledger: g.ledger, every: every, fault: fault, client: &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 4},
	}}
}

// run publishes to the nodes in turn until ctx is done, and returns when all
// has been acknowledged, or longer is.
func (p *publisher) run(ctx, longer context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, inFlight)
	due := time.Now()
	for turn := 0; ; turn++ {
		// What a busy machine has delayed is made up for, but not for long.
		due = later(due.Add(p.every), time.Now().Add(-time.Second))
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
			p.publish(longer, turn, batchSize)
			<-slots
		})
	}
}

// publish puts n events in, in one request, which it repeats until the events
// are acknowledged. It returns the ID of the last.
func (p *publisher) publish(ctx context.Context, turn, n int) (last stream.ID, ok bool) {
	return p.insist(ctx, turn, p.ledger.begin(n), n, 0)
}

// insist is for events that have been published some times already.
func (p *publisher) insist(ctx context.Context, turn, first, n, tries int) (last stream.ID, ok bool) {
	until := time.Now().Add(insists)
	for try := tries; ; try++ {
		ids, held, what := p.ask(p.stage.nodes[(turn+try)%len(p.stage.nodes)], p.client, first, n)
		if what == acknowledged {
			p.ledger.acknowledge(first, ids)
			if try > 0 {
				p.again.Add(int64(n))
				p.held.Add(int64(held))
			} else if held > 0 {
				p.fault("%s: the first time that they are published, %d of the events from %d on are held already", p.stage.name, held, first)
			}
			return ids[n-1], true
		}
		p.ledger.fail(first, n, what)
		sleep(ctx, between(100*time.Millisecond, 500*time.Millisecond))
		switch {
		case ctx.Err() != nil:
			return stream.ID{}, false
		case time.Now().After(until):
			p.fault("%s: the events from %d on were not acknowledged in %v and %d tries", p.stage.name, first, insists, try+1)
			return stream.ID{}, false
		}
	}
}

// ask publishes the n events from number first on, once. It returns their IDs,
// and how many the topic held already, if they were acknowledged.
func (p *publisher) ask(to *node, client *http.Client, first, n int) (ids []stream.ID, held int, what outcome) {
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `,{"specversion":"1.0","type":"soak","source":"/soak","id":"%d","data":%s}`, first+i, payload(first+i))
	}
	batch := "[" + body.String()[1:] + "]"
	req, err := http.NewRequest("POST", "http://"+to.addr+"/publish?topic="+p.stage.topic, strings.NewReader(batch))
	if err != nil {
		panic(err) // the address is our own
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, 0, refused // nobody was there to take it
		}
		return nil, 0, unanswered
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusTooManyRequests:
		// The latter where many wait for a disk or a Redis that does not answer.
		return nil, 0, refused
	case resp.StatusCode == http.StatusBadRequest && time.Since(began) > 2*time.Second:
		// On a machine that stood still, the time for a request may be over before
		// the node has read all that lies there.
		return nil, 0, refused
	case resp.StatusCode != http.StatusOK:
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // as much as there is
		p.fault("node %s answers %s to a publisher, after %v: %s", to.name, resp.Status, time.Since(began), why)
		return nil, 0, refused
	}
	var answer struct {
		IDs        []string
		Duplicate  bool
		Duplicates []int
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, 0, unanswered
	}
	for _, text := range answer.IDs {
		id, err := stream.ParseID(text)
		if err != nil {
			p.fault("node %s answers the ID %.50q", to.name, text)
			return nil, 0, unanswered
		}
		ids = append(ids, id)
	}
	if len(ids) != n {
		p.fault("node %s answers %d events with %d IDs", to.name, n, len(ids))
		return nil, 0, unanswered
	}
	held = len(answer.Duplicates)
	if answer.Duplicate {
		held = n
	}
	return ids, held, acknowledged
}

// finish publishes one event more, which every client must reach: all that
// came before it in the topic is then known to be there or not.
func (p *publisher) finish(ctx context.Context) (stream.ID, error) {
	marker, ok := p.publish(ctx, rand.IntN(len(p.stage.nodes)), 1)
	if !ok {
		return marker, errors.New("the last event is not acknowledged")
	}
	return marker, nil
}

var padding = strings.Repeat("water under the bridge ", 25)

// payload is what the event with that number says. It is of various lengths, so
// that events end everywhere in a buffer.
func payload(number int) string {
	return fmt.Sprintf("{%s%d,\"padding\":%q}", numberField, number, padding[:number*7919%len(padding)])
}
