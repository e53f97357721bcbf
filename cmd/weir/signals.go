package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// endPatience is how long the end may take beyond the drain, before the
	// process ends whatever hangs. The parts have shorter deadlines of their
	// own, which add up to less.
	endPatience = 20 * time.Second
	// lastMoment is how long parts may still take to end after a second signal.
	lastMoment = 90 * time.Millisecond
)

// An ending says when the process is to end.
type ending struct {
	first  context.Context  // done at the first SIGTERM or Ctrl-C: end gently
	second context.Context  // done at the second: end at once
	hangup <-chan os.Signal // SIGHUP: read secrets again
	stop   func()

	began atomic.Pointer[began]
}

// began is how the end began.
type began struct {
	by string // the signal
	at time.Time
}

// watchSignals begins to listen for signals, until stop is called. A goroutine
// that does nothing else ends the process soon after a second signal, or when
// patience is over after the first, whatever the parts do then: a child, a disk
// or a FIFO may hang. Just before that it calls lastly, which must not wait.
func watchSignals(parent context.Context, patience time.Duration, lastly func(), stderr io.Writer) *ending {
	first, cancelFirst := context.WithCancel(parent)
	second, cancelSecond := context.WithCancel(context.WithoutCancel(parent))
	end, hangup := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	e := &ending{first: first, second: second, hangup: hangup}
	go func() {
		select {
		case s := <-end:
			e.began.Store(&began{s.String(), time.Now()})
		case <-done:
			return
		}
		cancelFirst()
		why := "after two signals, before every part had ended"
		select {
		case <-end:
		case <-time.After(patience):
			why = fmt.Sprintf("since it did not end within %v: something hangs", patience)
		case <-done:
			return
		}
		cancelSecond()
		select {
		case <-time.After(lastMoment):
		case <-done:
			return
		}
		lastly()
		// Nobody may read stderr any more.
		go fmt.Fprintf(stderr, "weir: process killed %s\n", why)
		time.Sleep(lastMoment / 9)
		os.Exit(1)
	}()
	e.stop = func() {
		signal.Stop(end)
		signal.Stop(hangup)
		close(done)
		cancelFirst()
		cancelSecond()
	}
	return e
}

// or returns err, unless the process was told to end: then that is why.
func (e *ending) or(err error) error {
	if e.first.Err() != nil {
		return nil
	}
	return err
}
