//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"weir/stream/sse"
)

// A client is one library in one place.
type client struct {
	name string
	// library is its name in the table of versions, and page or the command.
	library string
	where   place
	// html: it swaps fragments of HTML into a page, and so asks for that format.
	html bool
	// short: it reads the topic's own address, in the format that it has there.
	short bool
}

type place int

const (
	node       place = iota // a process of Node
	golang                  // a process of golang/
	python                  // a process of Python
	ourselves               // a process of this program
	samePage                // a page of Weir's own origin, in Chromium
	foreignTab              // a page of another origin
)

var allClients = []client{
	{name: "EventSource", library: "EventSource", where: samePage},
	{name: "EventSource, other origin", library: "EventSource", where: foreignTab, short: true},
	{name: "reconnecting-eventsource", library: "reconnecting-eventsource", where: samePage},
	{name: "event-source-polyfill", library: "event-source-polyfill", where: samePage},
	{name: "fetch-event-source", library: "fetch-event-source", where: samePage},
	{name: "htmx 2", library: "htmx-2", where: samePage, html: true},
	{name: "htmx 2, other origin", library: "htmx-2", where: foreignTab, html: true},
	{name: "htmx 4", library: "htmx-4", where: samePage, html: true},
	{name: "htmx 4, other origin", library: "htmx-4", where: foreignTab, html: true},
	{name: "eventsource 2", library: "eventsource-2", where: node},
	{name: "eventsource 3", library: "eventsource-3", where: node},
	{name: "eventsource 4", library: "eventsource-4", where: node, short: true},
	{name: "eventsource-client", library: "eventsource-client", where: node},
	{name: "go-sse", library: "go-sse", where: golang},
	{name: "r3labs/sse", library: "r3labs", where: golang},
	{name: "launchdarkly/eventsource", library: "launchdarkly", where: golang},
	{name: "Python, urllib", library: "", where: python},
	{name: "weir/stream/sse", library: "", where: ourselves},
}

// A sight is one thing that a client saw.
type sight struct {
	at time.Time

	Kind  string `json:"kind"` // open, event, error, closed
	Event string `json:"event"`
	ID    string `json:"id"`
	Data  string `json:"data"`
	Text  string `json:"text"` // of an error
}

// A reader is one client that reads one topic. Its methods may be called by any
// goroutine.
type reader struct {
	client client
	proxy  *proxy
	close  func()

	mu     sync.Mutex
	sights []sight
}

func (r *reader) see(s sight) {
	s.at = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sights = append(r.sights, s)
}

// saw counts the events of a name; with an ID, those of that ID.
func (r *reader) saw(event, id string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sights {
		if s.Kind == "event" && s.Event == event && (id == "" || s.ID == id) {
			n++
		}
	}
	return n
}

// events returns the events of a name.
func (r *reader) events(event string) (found []sight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sights {
		if s.Kind == "event" && s.Event == event {
			found = append(found, s)
		}
	}
	return found
}

func (r *reader) dump(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 40
	if n := len(r.sights) - most; n > 0 {
		fmt.Fprintf(w, "    … %d sights\n", n)
	}
	for _, s := range r.sights[max(0, len(r.sights)-most):] {
		fmt.Fprintf(w, "    %s %-6s %s %s %.90q %.150q\n", s.at.Format("05.000"), s.Kind, s.Event, s.ID, s.Data, s.Text)
	}
}

// startReader begins to read the topic at an address through a proxy.
func (r *row) startReader(c client, scheme, addr string) (*reader, error) {
	p, err := startProxy(addr)
	if err != nil {
		return nil, err
	}
	reader := &reader{client: c, proxy: p, close: func() {}}
	format := r.format
	if c.html {
		format = "html"
	}
	origin := scheme + "://" + p.addr
	url := origin + "/sse-stream?topic=" + topicName + "&format=" + format
	if c.short && format == "data" {
		url = origin + "/t/" + topicName
	}
	switch c.where {
	case samePage, foreignTab:
		page := origin + "/livez"
		if c.where == foreignTab {
			page = r.browser.site
		}
		reader.close, err = r.browser.read(r.ctx, c, page, url, reader.see)
	case node:
		err = r.startCommand(reader, "node", filepath.Join(r.here, "npm", "read.mjs"), c.library, url)
	case golang:
		err = r.startCommand(reader, r.goRead, c.library, url)
	case python:
		err = r.startCommand(reader, "python3", filepath.Join(r.here, "read.py"), url)
	case ourselves:
		self, e := os.Executable()
		if e != nil {
			return nil, e
		}
		err = r.startCommand(reader, self, "read", url)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return reader, nil
}

// startCommand runs a client that tells what it sees on its standard output.
func (r *row) startCommand(reader *reader, name string, args ...string) error {
	ctx, cancel := context.WithCancel(r.ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+r.cert.File, "SSL_CERT_FILE="+r.cert.File)
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return err
	}
	log, err := os.Create(filepath.Join(r.dir, fmt.Sprint(len(r.readers), "-", time.Now().UnixNano(), ".log")))
	if err != nil {
		cancel()
		return err
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			var s sight
			if err := json.Unmarshal(line, &s); err != nil {
				s = sight{Kind: "error", Text: fmt.Sprintf("it printed %.200q", line)}
			}
			reader.see(s)
		}
		err := cmd.Wait()
		_ = log.Close()
		if said, _ := os.ReadFile(log.Name()); ctx.Err() == nil {
			reader.see(sight{Kind: "closed", Text: fmt.Sprintf("the process has ended: %v; it said %.500q", err, said)})
		}
	}()
	reader.close = func() {
		cancel()
		<-ended
	}
	return nil
}

// readAsWeir reads a stream with weir/stream/sse, and tells what it sees on
// standard output: one of the clients.
func readAsWeir(url string) {
	say := func(s sight) {
		line, _ := json.Marshal(s)
		fmt.Println(string(line))
	}
	o := &sse.Options{Lost: func(err error, _ time.Duration) { say(sight{Kind: "error", Text: err.Error()}) }}
	for m, err := range sse.Read(context.Background(), url, o) {
		if err != nil && m.Event != "gap" {
			say(sight{Kind: "closed", Text: err.Error()})
			return
		}
		say(sight{Kind: "event", Event: m.Event, ID: m.ID, Data: string(m.Data)})
	}
	say(sight{Kind: "closed"})
}
