package stream

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// A writer puts bytes on the way to the client before it returns, or fails
// when the client does not take them before the deadline.
type writer interface {
	write(p []byte) error
	writeBatch(b *Batch, gzip bool) error
	// abandon sees to it that nothing is waited for any more.
	abandon()
	// close is called once, when nothing will be written any more.
	close(orderly bool)
}

// responseWriter writes through net/http, for every version of HTTP.
type responseWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	timeout  time.Duration
	keep     bool        // a deadline may stand while the stream is idle
	deadline time.Time   // the one that stands
	guard    *time.Timer // ends a write that takes too long, where none may stand

	mu   sync.Mutex
	over bool // net/http's writer must not be touched any more
}

// write has a deadline. On HTTP/1.1 one that is left over does no harm between
// writes, and is renewed only now and then. On HTTP/2 it would reset an idle
// stream, and each change of it is a message to the connection's goroutine: there
// a timer sets it, when the time is over and the write is not.
func (o *responseWriter) write(p []byte) error {
	began := time.Now()
	if o.keep {
		if o.deadline.Sub(began) < o.timeout {
			o.deadline = began.Add(o.timeout + o.timeout/8)
			_ = o.rc.SetWriteDeadline(o.deadline) // not every test's writer can
		}
	} else if o.guard == nil {
		o.guard = time.AfterFunc(o.timeout, o.expire)
	} else {
		o.guard.Reset(o.timeout)
	}
	_, err := o.w.Write(p)
	if err == nil {
		err = o.rc.Flush()
	}
	switch {
	case o.guard != nil && !o.guard.Stop(), err != nil && time.Since(began) >= o.timeout:
		// HTTP/2 only says that the stream is closed.
		return errors.Join(os.ErrDeadlineExceeded, err)
	case err != nil && !o.keep:
		return fmt.Errorf("%w: %w", errGone, err) // likewise
	}
	return err
}

func (o *responseWriter) writeBatch(b *Batch, gzip bool) error {
	return o.write(b.encoded(gzip, false))
}

// abandon ends a write, and keeps net/http from taking the connection for its
// next request.
func (o *responseWriter) abandon() { _ = o.rc.SetWriteDeadline(time.Unix(1, 0)) }

// expire is called by the guard, which may come late: the write may be over in
// the meantime, and the handler have returned.
func (o *responseWriter) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.abandon()
	}
}

// close comes before the handler returns.
func (o *responseWriter) close(bool) {
	if o.guard != nil {
		o.guard.Stop()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
}
