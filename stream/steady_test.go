package stream_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"weir/stream"
)

// On HTTP/2 a stream whose client stops reading is cut, and the other streams of
// the same connection go on.
func TestHTTP2StreamThatIsNotRead(t *testing.T) {
	const timeout = 4 * time.Second
	s := newSite(t, stream.HubOptions{Topic: stream.TopicOptions{History: 100_000, Bytes: 1 << 30}},
		&stream.Handler{WriteTimeout: timeout}, stream.NewListener, true, 1<<20)
	stopped, live := s.subscribe(t, ""), s.subscribe(t, "")
	payload := `"` + strings.Repeat("x", 200_000) + `"`
	var slow *stream.Conn
	for _, c := range s.handler.Conns() {
		if c.ID == stopped.hello["connection"] {
			slow = c
		}
	}
	published := int64(0)
	until(t, "the write to be seen to wait", func() bool {
		d, _ := slow.Stuck()
		if d == 0 {
			live.wantIDs(t, s.publish(t, payload)...)
			published++
		}
		return d > timeout/4
	})
	if d := slow.Blocked(); d < timeout/4 {
		t.Errorf("writes have waited for %v in all, and one under way for more than %v", d, timeout/4)
	}
	until(t, "the stream that is not read to be cut", func() bool { return s.handler.Totals().Closed[stream.CloseSlow] == 1 })
	if unsent, _ := slow.Unsent(); slow.Events()+unsent != published || slow.Left() != stream.CloseSlow {
		t.Errorf("%d events were sent and %d not sent, of %d; it is said to have ended as %s", slow.Events(), unsent, published, slow.Left())
	}
	live.wantIDs(t, s.publish(t, "1")...)
	if c := s.handler.Conns(); len(c) != 1 || c[0].Protocol != "2" || c[0].ID != live.hello["connection"] {
		t.Errorf("%d streams are left", len(c))
	}
	for {
		if _, err := stopped.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				t.Error("the stream that was cut has an orderly end")
			}
			return
		}
	}
}
