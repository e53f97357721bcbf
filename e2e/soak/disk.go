//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// disk is a node that keeps its topics on a disk, which freezes, and is full.
// A second topic is fed by the lines of a file: see [soak.fileLines].
func (s *soak) disk(_ context.Context, dir string) (*stage, error) {
	gate, err := newGate()
	if gate == nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	lines := filepath.Join(dir, "lines")
	if err := os.Mkdir(lines, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(lines, "app.log")
	n, err := newNode(dir, "E", s.binary, "-data", data, "-source", "soak=http", "-source", "lines=file:"+path)
	if err != nil {
		return nil, err
	}
	n.gate = gate
	n.excused = regexp.MustCompile("broker down|events cannot be written to disk")
	g := newStage("disk", n).fed(500*time.Millisecond, s.fault)
	g.steady, g.churn = 6, 10
	g.with = s.fileLines(n, path)
	if s.length < rotatesFrozen {
		g.with.lines.pause = func() bool { return !gate.well() }
	}
	g.disasters = []calamity{
		{"the disk frozen, and the node says so", func(ctx context.Context) error {
			gate.set(frozen)
			defer gate.set(well)
			return s.suffers(ctx, g, n)
		}},
		{"the disk full, and the node says so", func(ctx context.Context) error {
			gate.set(full)
			defer gate.set(well)
			return s.suffers(ctx, g, n)
		}},
		{"the node killed while the file is rotated", func(ctx context.Context) error {
			if err := n.end(syscall.SIGKILL, patience); err != nil {
				return err
			}
			for range 1 + rand.IntN(3) {
				sleep(ctx, between(100*time.Millisecond, time.Second))
				g.with.lines.rotateNow()
			}
			sleep(ctx, between(100*time.Millisecond, time.Second))
			return n.start(ctx)
		}},
		{"the node killed while the disk is frozen", func(ctx context.Context) error {
			gate.set(frozen)
			sleep(ctx, between(100*time.Millisecond, time.Second))
			err := n.end(syscall.SIGKILL, patience)
			gate.set(well)
			if err != nil {
				return err
			}
			return n.start(ctx)
		}},
	}
	return g, nil
}

// rotatesFrozen is the least length of a soak in which the file is rotated while
// the disk takes nothing, too.
const rotatesFrozen = 10 * time.Minute

// suffers checks what is told of a disk that takes nothing: the node lives, is
// not ready, and refuses what is published, within its time.
func (s *soak) suffers(ctx context.Context, g *stage, n *node) error {
	number := g.ledger.begin(1)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	if _, _, what := g.publisher.ask(n, client, number, 1); what != refused {
		s.fault("node %s does not refuse what is published while its disk takes nothing: %v", n.name, what)
	}
	if err := n.unready(ctx); err != nil {
		return err
	}
	if status := n.answers("/livez"); status != http.StatusOK {
		s.fault("node %s answers %d to GET /livez while its disk takes nothing", n.name, status)
	}
	sleep(ctx, between(0, s.longStop/2))
	n.gate.set(well)
	g.publisher.insist(ctx, 0, number, 1, 1)
	return nil
}
