//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"weir/stream/sse"
)

// stayAsClient follows the topic until ctx is done, as stay does, by Weir's own
// client, which goes to either node each time.
func (s *soak) stayAsClient(ctx context.Context, a *account) {
	g, l := a.stage, &link{}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	options := &sse.Options{
		HTTPClient:  &http.Client{Transport: transport},
		Retry:       retry,
		MaxRetry:    2 * time.Second,
		IdleTimeout: idle,
		Prepare: func(r *http.Request) error {
			l.node, l.connection = g.any(), ""
			r.URL.Host, r.Host = l.node.addr, ""
			return nil
		},
		Opened: func(*http.Response) { s.opened.Add(1) },
		Lost: func(err error, _ time.Duration) {
			var status *sse.StatusError
			if errors.As(err, &status) {
				s.turnedAway.Add(1)
			}
			s.reconnects.Add(1)
		},
	}
	for m, err := range sse.Read(ctx, "http://"+g.nodes[0].addr+g.streamPath(), options) {
		var gap *sse.GapError
		if err != nil && !errors.As(err, &gap) {
			if ctx.Err() == nil {
				s.fault("%s has ended: %v", a.name, err)
			}
			return
		}
		if err := s.take(l, a, m); err != nil {
			s.fault("%s, on node %s: %v", a.name, l.node.name, err)
		}
	}
}

// A foreign client is a program of e2e/clients that reads a stream with somebody
// else's library, and prints what it sees.
type foreign struct {
	name string
	args []string // before the URL
}

// foreigners builds and finds the programs: a plain EventSource, and one of Go's.
func foreigners(ctx context.Context, dir string) ([]foreign, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "weir/e2e/clients").Output()
	if err != nil {
		return nil, fmt.Errorf("finding e2e/clients: %w", err)
	}
	clients := strings.TrimSpace(string(out))
	read := filepath.Join(dir, "read")
	build := exec.CommandContext(ctx, "go", "build", "-o", read, ".")
	build.Dir = filepath.Join(clients, "golang")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s: %w\n%s", build.Dir, err, text)
	}
	return []foreign{
		{"EventSource of npm", []string{"node", filepath.Join(clients, "npm", "read.mjs"), "eventsource-4"}},
		{"go-sse", []string{read, "go-sse"}},
	}, nil
}

// stayAsForeigner follows the topic on one node until ctx is done: it knows one
// address only, as a page does.
func (s *soak) stayAsForeigner(ctx context.Context, a *account, f foreign, n *node) {
	cmd := exec.CommandContext(ctx, f.args[0], append(f.args[1:], "http://"+n.addr+a.stage.streamPath())...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.fault("%s: %v", a.name, err)
		return
	}
	l := &link{node: n}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var sight struct{ Kind, Event, ID, Data, Text string }
		if err := json.Unmarshal(line, &sight); err != nil {
			s.fault("%s printed %.200q", a.name, line)
			continue
		}
		switch sight.Kind {
		case "event":
			if err := s.take(l, a, sse.Message{ID: sight.ID, Event: sight.Event, Data: []byte(sight.Data)}); err != nil {
				s.fault("%s, on node %s: %v", a.name, n.name, err)
			}
		case "open":
			s.opened.Add(1)
		case "error":
			s.reconnects.Add(1)
		case "closed":
			if ctx.Err() == nil {
				s.fault("%s has given up: %s", a.name, sight.Text)
			}
		}
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		s.fault("%s has ended: %v", a.name, err)
	}
}
