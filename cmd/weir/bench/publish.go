package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of one publish request.
const (
	maxBatchEvents = 1000
	maxBatchBytes  = 256 << 10
)

// A publisher puts events in on a schedule that does not wait for the server:
// when a request takes long, the events that have come due in the meantime go
// in the next, and each still says when it was to be sent. One connection
// carries all requests, so that the order of the events is the publisher's.
type publisher struct {
	opts  *Options
	clock clock
	base  int64
	pad   []byte
	text  bool // the mark is inside of a string

	conn  net.Conn
	br    *bufio.Reader
	body  []byte
	wire  []byte
	batch int // events at most in one request

	events   int64 // in: the server has said so
	requests int64
	refused  int64 // requests that the server did not want yet
	errors   int64 // events of which nobody knows whether they are in
	late     *hdrhistogram.Histogram
	took     *hdrhistogram.Histogram
}

func newPublisher(o *Options, clock clock, base int64) *publisher {
	p := &publisher{opts: o, clock: clock, base: base, batch: maxBatchEvents, late: newHistogram(), took: newHistogram()}
	// As HTML, Weir rounds numbers for people; a string comes through whole.
	p.text = o.url.Query().Get("format") == "html"
	p.pad = bytes.Repeat([]byte{'x'}, max(0, o.Size-len(p.appendData(nil, 1e18, 0))))
	if o.PublishURL != "" {
		p.batch = 1
	}
	each := o.Size + 1
	if o.Subjects > 0 {
		each += 200 // of a CloudEvent's attributes
	}
	p.batch = max(1, min(p.batch, maxBatchBytes/each))
	return p
}

func (p *publisher) close() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

// appendData appends the data of an event.
func (p *publisher) appendData(b []byte, sent, seq int64) []byte {
	between := [3]string{`{"t":`, `,"n":`, `,"pad":"`}
	if p.text {
		between = [3]string{`{"pad":"bench-t=`, ` bench-n=`, ` `}
	}
	b = append(b, between[0]...)
	b = strconv.AppendInt(b, sent, 10)
	b = append(b, between[1]...)
	b = strconv.AppendInt(b, p.base+seq, 10)
	b = append(b, between[2]...)
	b = append(b, p.pad...)
	return append(b, `"}`...)
}

// run publishes the events from..to-1 at the rate, the first at the time
// start. With rate 0 they go as fast as the server takes them. It returns how
// many numbers have been used: fewer than to when ctx is done first.
func (p *publisher) run(ctx context.Context, start int64, from, to int64, rate float64) (int64, error) {
	due := func(seq int64) int64 {
		if rate == 0 {
			return p.clock.now()
		}
		return start + int64(float64(seq-from)*1e9/rate)
	}
	next, failures := from, 0
	wake := start
	for next < to {
		wake = max(wake, due(next))
		if err := sleepUntil(ctx, p.clock, wake); err != nil {
			return next, nil // the caller has had enough; that is no fault
		}
		now := p.clock.now()
		n := int64(p.batch)
		if rate > 0 {
			n = min(n, int64(float64(now-start)*rate/1e9)+1-(next-from))
		}
		n = max(1, min(n, to-next))
		wire := p.encode(next, n, due)
		if rate > 0 {
			for i := range n {
				record(p.late, now-due(next+i))
			}
		}
		status, wait, text, err := p.send(ctx, wire)
		p.requests++
		record(p.took, p.clock.now()-now)
		wake = now + int64(p.opts.Tick)
		if rate == 0 {
			wake = now
		}
		switch {
		case ctx.Err() != nil:
			p.errors += n
			return next + n, nil
		case err != nil:
			p.errors += n
			next += n
			if failures++; failures == 5 {
				return next, fmt.Errorf("publish: %w", err)
			}
		case status >= 200 && status < 300:
			p.events += n
			next += n
			failures = 0
		case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == http.StatusRequestTimeout:
			p.refused++
			wake = p.clock.now() + int64(max(wait, 50*time.Millisecond))
		case status == http.StatusRequestEntityTooLarge && n > 1:
			p.refused++
			p.batch = int(n) / 2
		default:
			return next, fmt.Errorf("publish: the server answers %s", refusal(status, []byte(text)))
		}
	}
	return next, nil
}

// encode makes the request for n events.
func (p *publisher) encode(seq, n int64, due func(int64) int64) []byte {
	o := p.opts
	target, kind := o.url.Scheme+"://"+o.url.Host+"/publish", "application/x-ndjson"
	p.body = p.body[:0]
	if o.PublishURL == "" {
		if topic := o.url.Query().Get("topic"); topic != "" {
			target += "?topic=" + url.QueryEscape(topic)
		}
		if o.Subjects > 0 {
			kind = "application/cloudevents-batch+json"
			p.body = append(p.body, '[')
			for i := range n {
				p.body = append(p.appendCloudEvent(p.body, due(seq+i), seq+i), ',')
			}
			p.body[len(p.body)-1] = ']'
		}
		for i := range n {
			if o.Subjects == 0 {
				p.body = append(p.appendData(p.body, due(seq+i), seq+i), '\n')
			}
		}
	} else {
		sent := due(seq)
		data := string(p.appendData(nil, sent, seq))
		t, number := strconv.FormatInt(sent, 10), strconv.FormatInt(p.base+seq, 10)
		target, kind = o.publishURL(t, number, data), o.PublishType
		if kind == "" {
			kind = "application/json"
		}
		body := o.PublishBody
		if body == "" {
			body = "{data}"
		}
		if strings.HasPrefix(kind, "application/x-www-form-urlencoded") {
			data = url.QueryEscape(data)
		}
		p.body = append(p.body, strings.NewReplacer("{t}", t, "{n}", number, "{data}", data).Replace(body)...)
	}
	u, _ := url.Parse(target) // was checked
	w := append(p.wire[:0], "POST "+u.RequestURI()+" HTTP/1.1\r\nHost: "+u.Host+"\r\nUser-Agent: weir-bench\r\nContent-Type: "+kind+"\r\n"...)
	if o.Token != "" {
		w = append(w, "Authorization: Bearer "+o.Token+"\r\n"...)
	}
	for _, name := range sortedKeys(o.PublishHeader) {
		for _, v := range o.PublishHeader[name] {
			w = append(w, name+": "+v+"\r\n"...)
		}
	}
	w = append(w, "Content-Length: "...)
	w = strconv.AppendInt(w, int64(len(p.body)), 10)
	w = append(w, "\r\n\r\n"...)
	p.wire = append(w, p.body...)
	return p.wire
}

// target returns where the publisher connects to.
func (p *publisher) target() *url.URL {
	if p.opts.PublishURL == "" {
		return p.opts.url
	}
	u, _ := url.Parse(p.opts.publishURL("0", "0", "0")) // was checked
	return u
}

// errStale says that a connection kept alive was gone before the answer began:
// the server has closed it while it was idle, and had no request.
var errStale = errors.New("the server closed the connection")

// send sends a request and reads the answer.
func (p *publisher) send(ctx context.Context, wire []byte) (status int, wait time.Duration, text string, err error) {
	reused := p.conn != nil
	status, wait, text, err = p.try(ctx, wire)
	if reused && errors.Is(err, errStale) {
		status, wait, text, err = p.try(ctx, wire)
	}
	return status, wait, text, err
}

func (p *publisher) try(ctx context.Context, wire []byte) (status int, wait time.Duration, text string, err error) {
	defer func() {
		if err != nil && p.conn != nil {
			_ = p.conn.Close()
			p.conn = nil
		}
	}()
	if p.conn == nil {
		if err := p.dial(ctx); err != nil {
			return 0, 0, "", err
		}
	}
	conn := p.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // a broken connection fails below
	if _, err := conn.Write(wire); err != nil {
		return 0, 0, "", fmt.Errorf("%w: %w", errStale, err)
	}
	if _, err := p.br.Peek(1); err != nil {
		return 0, 0, "", fmt.Errorf("%w: %w", errStale, err)
	}
	resp, err := http.ReadResponse(p.br, nil)
	if err != nil {
		return 0, 0, "", err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, 0, "", err
	}
	if resp.Close {
		_ = p.conn.Close()
		p.conn = nil
	}
	return resp.StatusCode, retryAfter(resp.Header), string(body), nil
}

func (p *publisher) dial(ctx context.Context) error {
	u := p.target()
	ctx, cancel := context.WithTimeout(ctx, p.opts.ConnectTimeout)
	defer cancel()
	o := *p.opts
	o.url = u
	addr, err := lookup(ctx, &o)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return err
	}
	if u.Scheme == "https" {
		t := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: o.Insecure, NextProtos: []string{"http/1.1"}})
		if err := t.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return err
		}
		conn = t
	}
	p.conn, p.br = conn, bufio.NewReaderSize(conn, 32<<10)
	return nil
}
