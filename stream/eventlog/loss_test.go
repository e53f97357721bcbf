package eventlog_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/eventlog"
)

// A reader that stays where it is loses events when TimeToLoss said so, however full
// the log is, by number or by size, and however its rate has changed before.
func TestTimeToLoss(t *testing.T) {
	second := func(perSecond int) time.Duration { return time.Second / time.Duration(perSecond) }
	for name, test := range map[string]struct {
		opts   eventlog.Options
		filter []string
		slow   int // events, one a second, before the others come
		behind int // events that the reader has not read when it is asked
		pace   time.Duration
		data   int // bytes of an event
		within time.Duration
	}{
		"full":            {eventlog.Options{History: 1000}, nil, 0, 373, second(100), 1, 100 * time.Millisecond},
		"room left":       {eventlog.Options{History: 3000}, nil, 0, 1500, second(100), 1, 100 * time.Millisecond},
		"full by bytes":   {eventlog.Options{History: 1 << 20, Bytes: 1 << 20}, nil, 0, 200, second(100), 900, time.Second},
		"bytes left":      {eventlog.Options{History: 1 << 20, Bytes: 4 << 20}, nil, 0, 1500, second(100), 900, time.Second},
		"it was slow":     {eventlog.Options{History: 2000}, nil, 300, 1500, second(100), 1, 200 * time.Millisecond},
		"turns over fast": {eventlog.Options{History: 500}, nil, 300, 150, second(100), 1, 100 * time.Millisecond},
		"some subjects":   {eventlog.Options{History: 1000}, []string{"eu"}, 0, 100, second(100), 1, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := eventlog.New(test.opts)
				filter, err := eventlog.ParseFilter(test.filter)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				put := func(every time.Duration) {
					time.Sleep(every)
					e := &eventlog.Event{Type: "t", Source: "/s", Subject: []string{"eu", "us"}[n%2], Data: make([]byte, test.data)}
					if _, err := l.Append(e); err != nil {
						t.Fatal(err)
					}
					n++
				}
				for range test.slow {
					put(time.Second)
				}
				for range 1500 {
					put(test.pace)
				}
				reader := l.View(filter).Live()
				for reader.Lag() < uint64(test.behind) {
					put(test.pace)
				}
				left, ok := reader.TimeToLoss(time.Now())
				if !ok {
					t.Fatal("it does not lag")
				}
				asked := time.Now()
				for reader.Index() >= reader.View().Span().Tail {
					put(test.pace)
					if time.Since(asked) > time.Hour {
						t.Fatalf("in %v nothing is lost: %v", left, l.Stats())
					}
				}
				if true := time.Since(asked); (left - true).Abs() > test.within {
					t.Errorf("%v until it loses events, and told was %v", true, left)
				}
				if left, ok := reader.TimeToLoss(time.Now()); left != 0 || !ok {
					t.Errorf("when it has lost events, it is told %v %v", left, ok)
				}
				var gap *eventlog.Gap
				if _, err := reader.Next(t.Context()); !errors.As(err, &gap) {
					t.Errorf("it is told %v, want a gap", err)
				}
			})
		})
	}
}

// A burst after a pause has a rate of its own from its beginning.
func TestTimeToLossInABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 3000})
		time.Sleep(time.Minute)
		reader := l.All().Live()
		for n := range 500 {
			time.Sleep(10 * time.Millisecond)
			if _, err := l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			if left, ok := reader.TimeToLoss(time.Now()); ok {
				const per = 100 // a second
				if want := time.Duration(3000-n) * time.Second / per; (left - want).Abs() > time.Second/2 {
					t.Fatalf("after %d events it loses some in %v, want %v", n+1, left, want)
				}
			}
		}
	})
}

// Who reads all that comes does not lag, also between an event and its reading; nor
// does anybody lose what no event pushes out.
func TestNoTimeToLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 10})
		reader := l.All().Live()
		want := func(when string, lags bool) {
			t.Helper()
			if left, ok := reader.TimeToLoss(time.Now()); ok != lags {
				t.Errorf("%s: %v %v", when, left, ok)
			}
		}
		want("before the first event", false)
		_, _ = l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: []byte("1")})
		want("when an event has just come", false)
		time.Sleep(2 * time.Second)
		want("when it has not been read for two seconds", true)
		time.Sleep(10 * time.Second)
		want("when nothing else has come for ten", false)
		_, _ = l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: []byte("1")})
		want("when another comes", true)
		l.Close("over")
		want("when nothing will come", false)
	})
}

// LastMinute is how many came in the last minute, and is not the whole of it when the
// log holds less than that, or began in it: after a restart nobody knows what came before.
func TestLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(eventlog.Options{History: 100})
		want := func(want int, whole bool) {
			t.Helper()
			if got := l.Stats(); got.LastMinute != want || got.WholeMinute != whole {
				t.Errorf("%d in the last minute, whole: %v; want %d, %v", got.LastMinute, got.WholeMinute, want, whole)
			}
		}
		want(0, false)
		put := func(n int, every time.Duration) {
			for range n {
				time.Sleep(every)
				_, _ = l.Append(&eventlog.Event{Type: "t", Source: "/s", Data: []byte("1")})
			}
		}
		put(20, 2*time.Second)
		want(20, false) // the log is not a minute old
		time.Sleep(20 * time.Second)
		want(20, true)
		put(200, 100*time.Millisecond)
		want(100, false) // ten seconds are held
		time.Sleep(49 * time.Second)
		want(100, false)
		time.Sleep(time.Minute)
		want(0, true)
	})
}
