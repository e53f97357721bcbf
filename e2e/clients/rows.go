//go:build unix

package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A scenario is a row of the table.
type scenario struct {
	name string
	law  law
	play func(*row) error
}

var scenarios = []scenario{
	{"first connect", law{}, firstConnect},
	{"named events", law{}, named},
	{"text of every kind, 1 MB", law{}, everyText},
	{"cut before the first event", law{}, cutBeforeFirst},
	{"cut between two", law{}, cutBetween},
	{"cut inside one", law{}, cutInside},
	{"SIGKILL, -data", law{}, crash},
	{"SIGTERM, same port", law{}, orderly},
	{"rolling restart, nginx, Redis", law{away: 5 * time.Second}, rolling},
	{"limit reached and left", law{}, limit},
	{"gap", law{gap: true}, tooLate},
	{"the end", law{ended: true}, theEnd},
}

// A row is a scenario that is being played.
type row struct {
	*matrix
	scenario
	ctx     context.Context
	dir     string
	readers []*reader
	undo    []func()
	extra   map[*reader][]string // problems that the scenario itself has found
	all     []published
}

func (r *row) close() {
	var closing sync.WaitGroup
	for _, reader := range r.readers {
		closing.Go(func() {
			reader.close()
			reader.proxy.down()
		})
	}
	closing.Wait()
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
}

func (r *row) judge(reader *reader) []string {
	reader.mu.Lock()
	defer reader.mu.Unlock()
	sights := reader.sights
	if r.format == "json" && !reader.client.html {
		sights = payloads(sights)
	}
	return append(r.law.judge(r.all, sights, reader.client.html), r.extra[reader]...)
}

// serve starts a server.
func (r *row) serve(args ...string) (*server, error) {
	s := r.newServer(args...)
	r.undo = append(r.undo, func() {
		s.kill()
		if r.verbose {
			text := s.log.String()
			fmt.Fprintf(r.out, "    weir said: %s\n", text[max(0, len(text)-2000):])
		}
	})
	return s, s.start()
}

// topic are the flags of the one topic, fed by publishing.
var topic = []string{"-source", topicName + "=http"}

// read starts all clients, before a server.
func (r *row) read(scheme, addr string) error {
	readers := make([]*reader, len(r.clients))
	errs := make([]error, len(r.clients))
	var starting sync.WaitGroup
	for i, c := range r.clients {
		starting.Go(func() { readers[i], errs[i] = r.startReader(c, scheme, addr) })
	}
	starting.Wait()
	for i, reader := range readers {
		if errs[i] != nil {
			return errs[i]
		}
		r.readers = append(r.readers, reader)
	}
	return nil
}

// connected waits until every client has its stream, and has been told so.
func (r *row) connected() {
	r.await(func(reader *reader) bool { return reader.saw("connected", "") > 0 })
}

// await waits until the condition holds for every client, as far as it ever will:
// who does not get there is found out in the end.
func (r *row) await(condition func(*reader) bool) {
	deadline := time.Now().Add(r.idle)
	for _, reader := range r.readers {
		for !condition(reader) && excuse(reader.client.name, r.name) == "" && time.Now().Before(deadline) && r.ctx.Err() == nil {
			sleep(r.ctx, 20*time.Millisecond)
		}
	}
}

// publish puts events in, which every client must then have.
func (r *row) publish(s *server, texts ...string) error {
	for _, text := range texts {
		p, err := publish(r.ctx, "", text, s)
		if err != nil {
			return err
		}
		r.all = append(r.all, p)
	}
	return nil
}

// received waits until every client has the last event.
func (r *row) received() {
	last := r.all[len(r.all)-1]
	r.await(func(reader *reader) bool { return reader.saw(last.name, last.id)+reader.saw("message", last.id) > 0 })
}

// numbered returns n texts that are like no others.
func numbered(what string, n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf("%s %d", what, i+1))
	}
	return texts
}

func (r *row) begin(args ...string) (*server, error) {
	s, err := r.serve(append(args, topic...)...)
	if err != nil {
		return nil, err
	}
	if err := r.read("http", s.addr); err != nil {
		return nil, err
	}
	r.connected()
	return s, nil
}

// cut takes all clients off the line, does something while they are away, and
// lets them back.
func (r *row) cut(meanwhile func() error) error {
	for _, reader := range r.readers {
		reader.proxy.down()
	}
	if err := meanwhile(); err != nil {
		return err
	}
	for _, reader := range r.readers {
		if err := reader.proxy.up(); err != nil {
			return err
		}
	}
	return nil
}
