package stream

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// A writer puts bytes on the way to the client before it returns, or fails
// when the client does not take them before the deadline.
type writer interface {
	write(p []byte) error
	writeBatch(b *Batch, gzip bool) error
	// abandon sees to it that nothing is waited for any more.
	abandon()
}

// responseWriter writes through net/http, for every version of HTTP.
type responseWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	timeout  time.Duration
	keep     bool      // a deadline may stand while the stream is idle
	deadline time.Time // the one that stands
}

// write sets the deadline for this write. On HTTP/2 it clears it afterwards: a
// deadline that is left over resets an idle stream there. On HTTP/1.1 it does
// no harm between writes, and is renewed only now and then.
func (o *responseWriter) write(p []byte) error {
	began := time.Now()
	cleared := error(errors.ErrUnsupported)
	if !o.keep || o.deadline.Sub(began) < o.timeout {
		o.deadline = began.Add(o.timeout)
		if o.keep {
			o.deadline = o.deadline.Add(o.timeout / 8)
		}
		cleared = o.rc.SetWriteDeadline(o.deadline)
	}
	_, err := o.w.Write(p)
	if err == nil {
		err = o.rc.Flush()
	}
	if err != nil && time.Since(began) >= o.timeout {
		// HTTP/2 only says that the stream is closed.
		return fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	}
	if err != nil && !o.keep {
		return fmt.Errorf("%w: %w", errGone, err) // likewise
	}
	if err != nil || o.keep || cleared != nil {
		return err
	}
	return o.rc.SetWriteDeadline(time.Time{})
}

func (o *responseWriter) writeBatch(b *Batch, gzip bool) error {
	return o.write(b.encoded(gzip, false))
}

// abandon keeps net/http from taking the connection for its next request.
func (o *responseWriter) abandon() { _ = o.rc.SetWriteDeadline(time.Unix(1, 0)) }
