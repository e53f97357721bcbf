package sse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how a [Client] reads. The zero value works, and so does nil.
type Options struct {
	// HTTPClient sends the requests. Default: http.DefaultClient. Its Timeout
	// should be 0: it would end every stream at that age, and the Client would
	// come back each time. Its CheckRedirect says which redirects are followed.
	HTTPClient *http.Client
	// Header is sent with each request. It may replace the Client's own Accept
	// and Cache-Control.
	Header http.Header
	// Prepare, if not nil, may change each request before it is sent: to bring
	// a fresh token, or to make it a POST. If it returns an error the sequence
	// ends with that error.
	Prepare func(*http.Request) error

	// LastEventID is where to go on: the ID of a message, as an earlier run
	// stored it. Default: begin with what comes next.
	LastEventID string

	// Retry is how long the Client waits before it comes back, until the server
	// sets another time by "retry:". Default: 2 s.
	Retry time.Duration
	// MaxRetry is to how much that time may grow by failures in a row. A server
	// may ask for more, and gets it. Default: 30 s.
	MaxRetry time.Duration
	// IdleTimeout is after how long without a byte from the server a stream is
	// given up, and the Client comes back. It should be several of the server's
	// heartbeats. Default: 2 minutes. Negative: never.
	IdleTimeout time.Duration
	// MaxSize limits the bytes of one line and of one message. Default: 16 MiB.
	MaxSize int

	// Opened, if not nil, is called when a stream has begun, with the response
	// that carries the stream. It must leave the body alone.
	Opened func(*http.Response)
	// Lost, if not nil, is called when a stream has ended or could not be begun,
	// and the Client will try again after the time given. The error is io.EOF
	// after an orderly end, [ErrIdle] after silence, a *[StatusError] after a
	// refusal, or what the network said.
	Lost func(err error, wait time.Duration)
}

// ErrIdle is told to [Options].Lost of a stream on which nothing came for
// [Options].IdleTimeout.
var ErrIdle = errors.New("sse: nothing came for too long")

// ErrBusy ends a sequence of a [Client] that has another one under way.
var ErrBusy = errors.New("sse: the client is being read already")

// A GapError tells that messages were lost: those after From, up to and
// including To. It is made from Weir's "gap" events, whose reasons are "slow"
// (this client did not keep up), "expired" (the server does not keep them as
// long), "restart", "reset" and "unknown". The stream goes on after the gap.
//
// With "reset", To may lie before From: the topic has lost its newest events, which
// this Client may have had, and goes on after To. Other events may come under IDs
// from there on, and so may the lost ones, once more, where the Client comes back
// to a node that has yet to hear of the loss; it is then told again.
type GapError struct {
	From, To string
	Reason   string
}

func (e *GapError) Error() string {
	return "sse: messages after " + e.From + " up to " + e.To + " are lost: " + e.Reason
}

// Read reads the stream at an URL, and comes back by itself whenever it ends:
// see [Client.Messages] for what the sequence brings and what ends it. Nil
// options stand for the defaults.
func Read(ctx context.Context, url string, options *Options) iter.Seq2[Message, error] {
	return NewClient(url, options).Messages(ctx)
}

// A Client reads a stream of Server-Sent Events, and comes back when the stream
// is cut, with the ID of the last message that it has read. One goroutine at a
// time may range over [Client.Messages]; [Client.LastEventID] is for any
// goroutine. A Client has no goroutine of its own, and holds a connection only
// while its messages are being read.
type Client struct {
	url     string
	options Options
	busy    atomic.Bool
	waits   backoff

	mu     sync.Mutex
	lastID string
}

// NewClient returns a Client for the stream at an absolute URL. It asks for
// nothing before its messages are read. Nil options stand for the defaults.
func NewClient(url string, options *Options) *Client {
	c := &Client{url: url}
	if options != nil {
		c.options = *options
	}
	c.lastID = c.options.LastEventID
	if c.options.HTTPClient == nil {
		c.options.HTTPClient = http.DefaultClient
	}
	if c.options.MaxSize <= 0 {
		c.options.MaxSize = 16 << 20
	}
	if c.options.IdleTimeout == 0 {
		c.options.IdleTimeout = 2 * time.Minute
	}
	c.waits = newBackoff(c.options.Retry, c.options.MaxRetry)
	return c
}

// LastEventID returns the position of the Client: the ID up to which it has
// yielded what the stream brought, and after which it will go on. A program
// that stores it, or the ID of each message once that has been dealt with, can
// begin there in its next run, by [Options].LastEventID.
func (c *Client) LastEventID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}

func (c *Client) setLastEventID(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID = id
}

// Messages returns the sequence of the messages of the stream, over as many
// connections as it takes.
//
// All messages are yielded as they come, also Weir's own, such as [EventPing]:
// [Message].Event tells them apart. Their Data belongs to the caller. A gap is yielded as a *[GapError] beside its message, and the
// sequence goes on after it. Any other error is the last thing that is yielded:
//
//   - the cause of ctx, when it is done;
//   - a *[StatusError] when an answer is final: 4xx but 408 and 429, a redirect
//     that leads nowhere, any 2xx but 200 and 204, or no text/event-stream;
//   - an error that wraps [ErrTooLong] for a message beyond [Options].MaxSize:
//     it would come again;
//   - an error for an URL or a last event ID that no request can carry, or the
//     one that [Options].Prepare returned.
//
// The sequence ends without an error when the server says that the stream has
// ended for good: by status 204, or by an event "close", which is yielded first.
//
// After everything else the Client comes back: after the end of a stream, a
// connection that is refused or cut, silence, 408, 429 and 5xx. It does so for
// ever, also if it never got in, until ctx is done. It waits for as long as the
// server asked by "retry:", or for [Options].Retry where it did not ask. After
// each failure in a row it waits for at least twice as long as before, beginning
// with the shorter of these two times, up to [Options].MaxRetry. By chance it waits up to
// half as long again, so that not all clients come at once. A stream of less than
// 5 s counts as a failure. Where an answer has Retry-After, that is how long the
// Client waits.
//
// A loop that is left by break ends the connection. A later call goes on after
// the last message that was yielded. While the loop's body works nothing is
// read: if it takes long, the server may find that this client is slow.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if !c.busy.CompareAndSwap(false, true) {
			yield(Message{}, ErrBusy)
			return
		}
		defer c.busy.Store(false)
		for {
			opened, err := c.once(ctx, yield)
			if err == nil {
				return
			}
			if ctx.Err() != nil {
				yield(Message{}, context.Cause(ctx))
				return
			}
			if final := (*finalError)(nil); errors.As(err, &final) {
				yield(Message{}, final.err)
				return
			}
			wait := c.waits.after(err, opened)
			if c.options.Lost != nil {
				c.options.Lost(err, wait)
			}
			if sleep(ctx, wait) != nil {
				yield(Message{}, context.Cause(ctx))
				return
			}
		}
	}
}

// A finalError ends the sequence.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }

// once reads one stream to its end, and tells when it was opened, if it was. The
// error is nil when nothing more is to be yielded: the stream has ended for
// good, or the loop was left.
func (c *Client) once(ctx context.Context, yield func(Message, error) bool) (opened time.Time, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatchdog(c.options.IdleTimeout, func() { cancel(ErrIdle) })
	defer watch.stop()

	resp, err := c.request(ctx)
	if err != nil {
		return opened, c.silence(ctx, err)
	}
	defer resp.Body.Close()
	body, err := judge(resp)
	if body == nil {
		return opened, err
	}
	watch.stop()
	opened = time.Now()
	if c.options.Opened != nil {
		c.options.Opened(resp)
	}

	d := NewDecoder(&watchedReader{body, watch})
	d.MaxSize = c.options.MaxSize
	d.SetLastEventID(c.LastEventID())
	defer func() { c.setLastEventID(d.LastEventID()) }() // blocks without data move it, too
	for {
		m, err := d.Next()
		if d.hasRetry {
			c.waits.retry = d.retry
		}
		switch {
		case errors.Is(err, ErrTooLong):
			return opened, &finalError{err}
		case err != nil:
			return opened, c.silence(ctx, err)
		}
		c.setLastEventID(m.ID)
		m.Data = bytes.Clone(m.Data)
		if m.Event == EventGap {
			err = gapOf(m.Data)
		}
		if !yield(m, err) || m.Event == EventClose {
			return opened, nil
		}
	}
}

// silence returns ErrIdle in place of what the network says of a request that
// the watchdog has ended.
func (c *Client) silence(ctx context.Context, err error) error {
	if !errors.Is(context.Cause(ctx), ErrIdle) {
		return err
	}
	// With HTTP/2 the next request would go out on the connection that is dead.
	c.options.HTTPClient.CloseIdleConnections()
	return ErrIdle
}

// A watchdog calls a function when it is not stopped in time. It begins to wait
// when it is made.
type watchdog struct {
	timeout time.Duration
	timer   *time.Timer // nil: it never barks
}

func newWatchdog(timeout time.Duration, bark func()) *watchdog {
	w := &watchdog{timeout: timeout}
	if timeout > 0 {
		w.timer = time.AfterFunc(timeout, bark)
	}
	return w
}

func (w *watchdog) start() {
	if w.timer != nil {
		w.timer.Reset(w.timeout)
	}
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// A watchedReader watches each read of r, and not the time in between, in which
// the program deals with what was read.
type watchedReader struct {
	r     io.Reader
	watch *watchdog
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.watch.start()
	defer w.watch.stop()
	return w.r.Read(p)
}
