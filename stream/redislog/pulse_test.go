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

// A pulse that Redis took before it took the subscription does not come back, and is not
// missed, whether or not it is known by then that it was taken.
func TestPulseBeforeTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, early := range []bool{true, false} {
			p := redislog.NewPulse()
			p.Subscribed() // it is asked for
			time.Sleep(time.Millisecond)
			sent := time.Now()
			time.Sleep(time.Millisecond)
			if early {
				p.Taken(sent)
			}
			p.Subscribed() // Redis says so
			time.Sleep(time.Millisecond)
			if !early {
				p.Taken(sent)
			}
			time.Sleep(time.Minute)
			if p.Deaf() {
				t.Errorf("a pulse from before the subscription is missed (known to be taken before: %t)", early)
			}
			p.Taken(time.Now())
			time.Sleep(time.Minute)
			if !p.Deaf() {
				t.Error("a pulse that did not come back is not missed")
			}
		}
	})
}
