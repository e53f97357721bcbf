//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
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

func firstConnect(r *row) error {
	s, err := r.begin()
	if err != nil {
		return err
	}
	if err := r.publish(s, numbered("event", 5)...); err != nil {
		return err
	}
	r.received()
	return nil
}

// named publishes events with a name of their own, for which an EventSource has a
// listener, htmx 2 an sse-swap, and htmx 4 an event of the page.
func named(r *row) error {
	s, err := r.begin()
	if err != nil {
		return err
	}
	for i := range 6 {
		p, err := publish(r.ctx, []string{"", orderEvent}[i%2], fmt.Sprint("event ", i), s)
		if err != nil {
			return err
		}
		r.all = append(r.all, p)
	}
	r.received()
	return nil
}

func everyText(r *row) error {
	s, err := r.begin("-history-bytes", "67108864")
	if err != nil {
		return err
	}
	if err := r.publish(s, texts()...); err != nil {
		return err
	}
	r.received()
	return nil
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

func cutBeforeFirst(r *row) error {
	s, err := r.begin()
	if err != nil {
		return err
	}
	if err := r.cut(func() error { return r.publish(s, numbered("while they are away", 5)...) }); err != nil {
		return err
	}
	r.received()
	return nil
}

func cutBetween(r *row) error {
	s, err := r.begin()
	if err != nil {
		return err
	}
	for round := range 2 {
		if err := r.publish(s, numbered(fmt.Sprint("before cut ", round), 3)...); err != nil {
			return err
		}
		r.received()
		if err := r.cut(func() error { return r.publish(s, numbered(fmt.Sprint("during cut ", round), 3)...) }); err != nil {
			return err
		}
		r.received()
	}
	return nil
}

func cutInside(r *row) error {
	s, err := r.begin()
	if err != nil {
		return err
	}
	for i, reader := range r.readers {
		reader.proxy.cutBehind("cut me", i%9)
	}
	if err := r.publish(s, "whole", "cut me here and there", "and one more"); err != nil {
		return err
	}
	r.received()
	for i, reader := range r.readers { // within the ID, which a client might believe
		reader.proxy.cutBehind("id: 1", i%9)
	}
	if err := r.publish(s, numbered("later", 3)...); err != nil {
		return err
	}
	r.received()
	return nil
}

func crash(r *row) error {
	return r.restart(func(s *server) error { s.kill(); return nil })
}

func orderly(r *row) error { return r.restart((*server).terminate) }

// restart ends the server in some way, and starts it again, in the same place.
func (r *row) restart(end func(*server) error) error {
	s, err := r.begin("-data", r.dir)
	if err != nil {
		return err
	}
	if err := r.publish(s, numbered("before", 3)...); err != nil {
		return err
	}
	r.received()
	if err := end(s); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	if err := r.publish(s, numbered("after", 3)...); err != nil {
		return err
	}
	r.received()
	return nil
}

func rolling(r *row) error {
	redis, addr, err := startRedis(r.dir)
	if redis != nil {
		r.undo = append(r.undo, redis.kill)
	}
	if err != nil {
		return err
	}
	var nodes []*server
	for _, name := range []string{"one", "two"} {
		s, err := r.serve(append([]string{"-node", name, "-redis", "redis://" + addr + "/0", "-trusted-proxy", "127.0.0.1/32", "-drain", "2s"}, topic...)...)
		if err != nil {
			return err
		}
		nodes = append(nodes, s)
	}
	nginx, addr, err := r.startNginx(r.dir, nodes...)
	if nginx != nil {
		// A killed master leaves its workers behind.
		r.undo = append(r.undo, func() {
			_ = nginx.terminate()
			if r.verbose {
				text := nginx.log.String()
				fmt.Fprintf(r.out, "    nginx said: %s\n", text[max(0, len(text)-8000):])
			}
		})
	}
	if err != nil {
		return err
	}
	if err := r.read("https", addr); err != nil {
		return err
	}
	r.connected()

	// The load is steady, so that who is away is missing events.
	var stop atomic.Bool
	var failed error
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := 0; !stop.Load(); i++ {
			p, err := publish(r.ctx, "", fmt.Sprint("load ", i), nodes[i%2], nodes[(i+1)%2])
			if err != nil {
				failed = err
				return
			}
			r.all = append(r.all, p)
			sleep(r.ctx, 40*time.Millisecond)
		}
	})
	for _, s := range nodes {
		sleep(r.ctx, time.Second)
		if err = s.terminate(); err != nil {
			break
		}
		if err = s.start(); err != nil {
			break
		}
		sleep(r.ctx, 3*time.Second)
	}
	stop.Store(true)
	publishing.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	r.received()
	return nil
}

// limit has strangers take all places, so that no client gets in at first.
func limit(r *row) error {
	places := len(r.clients) + 2
	s, err := r.serve(append([]string{"-max-conns", fmt.Sprint(places)}, topic...)...)
	if err != nil {
		return err
	}
	strangers, leave := context.WithCancel(r.ctx)
	defer leave()
	for range places {
		req, err := http.NewRequestWithContext(strangers, "GET", "http://"+s.addr+"/sse-stream?topic="+topicName, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		go func() { _, _ = io.Copy(io.Discard, resp.Body) }()
	}
	if err := r.read("http", s.addr); err != nil {
		return err
	}
	sleep(r.ctx, 3*time.Second) // all have knocked, some more than once
	for _, reader := range r.readers {
		if reader.saw("connected", "") > 0 {
			return fmt.Errorf("%s got in beyond the limit", reader.client.name)
		}
	}
	leave()
	r.connected()
	if err := r.publish(s, numbered("event", 5)...); err != nil {
		return err
	}
	r.received()
	return nil
}

// tooLate has more events pass than the server keeps while the clients are away,
// and cuts them once more: the gap is told once.
func tooLate(r *row) error {
	s, err := r.begin("-history", "10")
	if err != nil {
		return err
	}
	if err := r.publish(s, numbered("before", 3)...); err != nil {
		return err
	}
	r.received()
	if err := r.cut(func() error { return r.publish(s, numbered("during the gap", 30)...) }); err != nil {
		return err
	}
	r.received()
	before := map[*reader]int{}
	for _, reader := range r.readers {
		before[reader] = reader.saw("connected", "")
	}
	if err := r.cut(func() error { return nil }); err != nil {
		return err
	}
	r.await(func(reader *reader) bool { return reader.saw("connected", "") > before[reader] })
	if err := r.publish(s, "after"); err != nil {
		return err
	}
	r.received()
	return nil
}

// theEnd ends the topic. Who has read it all is told, and asks once more at most.
func theEnd(r *row) error {
	stdin, lines, err := os.Pipe()
	if err != nil {
		return err
	}
	r.undo = append(r.undo, func() { _ = stdin.Close(); _ = lines.Close() })
	s := r.newServer("-source", topicName+"=stdin")
	s.stdin = stdin
	r.undo = append(r.undo, func() { s.kill() })
	if err := s.start(); err != nil {
		return err
	}
	if err := r.read("http", s.addr); err != nil {
		return err
	}
	r.connected()
	texts := numbered("line", 3)
	if _, err := io.WriteString(lines, strings.Join(texts, "\n")+"\n"); err != nil {
		return err
	}
	// The IDs are those that our own client, or else the first, is told.
	r.await(func(reader *reader) bool { return reader.saw("message", "") >= len(texts) })
	for _, reader := range r.readers {
		if got := reader.events("message"); len(got) == len(texts) && !reader.client.html {
			for i, e := range got {
				r.all = append(r.all, published{id: e.ID, name: "message", text: texts[i], at: e.at})
			}
			break
		}
	}
	if len(r.all) == 0 {
		return fmt.Errorf("no client has all of the lines")
	}
	_ = lines.Close()
	r.await(func(reader *reader) bool { return reader.saw("close", "") > 0 })
	sleep(r.ctx, 3*time.Second) // the time to ask once more, and be told that it is over
	before := map[*reader]int64{}
	for _, reader := range r.readers {
		before[reader] = reader.proxy.opened.Load()
	}
	sleep(r.ctx, 3*time.Second)
	r.extra = map[*reader][]string{}
	for _, reader := range r.readers {
		if again := reader.proxy.opened.Load() - before[reader]; again > 0 {
			r.extra[reader] = append(r.extra[reader], fmt.Sprintf("asks again, %d times in 3 s", again))
		}
	}
	return nil
}
