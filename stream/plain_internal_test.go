package stream

import (
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// finished is a writer of HTTP/2 whose handler may have returned: then setting
// its deadline is a panic, in a goroutine that nobody recovers.
type finished struct {
	*httptest.ResponseRecorder
	returned bool
	expired  int
}

func (w *finished) SetWriteDeadline(time.Time) error {
	if w.returned {
		panic("the handler has returned")
	}
	w.expired++
	return nil
}

// TestGuardComesLate: the timer of a write goes off, and its function runs only
// when the stream has ended, as after the process was stopped for a while.
func TestGuardComesLate(t *testing.T) {
	w := &finished{ResponseRecorder: httptest.NewRecorder()}
	o := newPlainWriter(w, time.Hour, 2, nil)
	o.why = new(atomic.Pointer[closure])
	o.wait = new(wait)
	w.expired = 0
	if err := o.write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	o.writing, o.progress = true, time.Time{} // since long ago
	o.check()
	if w.expired != 1 {
		t.Error("a write that takes too long is not ended")
	}
	o.close(true)
	w.returned = true
	o.check()
}
