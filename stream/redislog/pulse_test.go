package redislog_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/redislog"
)

// A pulse is often heard before it is known that it was taken: it is not waited for
// again, though none is taken after it.
func TestPulseHeardBeforeItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := redislog.NewPulse()
		sent := time.Now()
		time.Sleep(time.Millisecond)
		p.Heard()
		time.Sleep(time.Millisecond)
		p.Taken(sent)
		time.Sleep(time.Minute)
		if p.Deaf() {
			t.Error("a pulse that came back is missed")
		}
		p.Taken(time.Now())
		time.Sleep(time.Minute)
		if !p.Deaf() {
			t.Error("a pulse that did not come back is not missed")
		}
	})
}
