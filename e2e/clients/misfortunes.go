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
			p, err := publishAnyhow(r.ctx, i, fmt.Sprint("load ", i), nodes...)
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
	// They may ask once more, and are told that it is over. Then there is silence.
	r.extra = map[*reader][]string{}
	for range 5 {
		clear(r.extra)
		before := map[*reader]int64{}
		for _, reader := range r.readers {
			before[reader] = reader.proxy.opened.Load()
		}
		sleep(r.ctx, 3*time.Second)
		for _, reader := range r.readers {
			if again := reader.proxy.opened.Load() - before[reader]; again > 0 {
				r.extra[reader] = []string{fmt.Sprintf("asks again, %d times in 3 s", again)}
			}
		}
		if len(r.extra) == 0 {
			break
		}
	}
	return nil
}
