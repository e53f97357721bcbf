package telemetry_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
	"weir/telemetry"
)

// outageRig is a server with so many topics, whose sources and broker do as the test
// says.
func outageRig(t *testing.T, topics int) (change func(c stream.SourceChange), log *streamtest.Buffer, end func()) {
	log = new(streamtest.Buffer)
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "node" {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	r := newRig(t, telemetry.Options{Logger: logger}, stream.HubOptions{Logger: slog.New(slog.DiscardHandler)})
	for n := range topics {
		if err := r.hub.AddTopic(fmt.Sprint("t", n)); err != nil {
			t.Fatal(err)
		}
	}
	return r.tel.Hooks().Source, log, r.close
}

func failure(topic int, broker bool, failures int) stream.SourceChange {
	c := stream.SourceChange{Topic: fmt.Sprint("t", topic), Broker: broker, State: stream.SourceFailing, Failures: failures, Err: errors.New("refused")}
	if failures >= 3 {
		c.State = stream.SourceDown
	}
	return c
}

func well(topic int, broker bool) stream.SourceChange {
	return stream.SourceChange{Topic: fmt.Sprint("t", topic), Broker: broker, State: stream.SourceUp}
}

func wantLog(t *testing.T, log *streamtest.Buffer, want ...string) {
	t.Helper()
	if got := strings.TrimSpace(log.String()); got != strings.Join(want, "\n") {
		t.Errorf("the log says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// TestBrokerIsOneThing: an outage of a broker that carries three hundred topics is
// told in a few lines, whoever is tried again how often.
func TestBrokerIsOneThing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const topics = 300
		change, log, end := outageRig(t, topics)
		for n := range topics {
			change(well(n, true))
		}
		time.Sleep(time.Hour)
		for round := range 6 {
			for n := range topics {
				change(failure(n, true, round+1))
			}
			time.Sleep(4500 * time.Millisecond)
		}
		for n := range topics {
			change(well(n, true))
		}
		time.Sleep(time.Hour)
		end()
		wantLog(t, log,
			`level=INFO msg="broker up" topics=300`,
			`level=WARN msg="broker failed" topics=300 failures=300 error=refused`,
			`level=ERROR msg="broker down" topics=300 failures=900 error=refused`,
			`level=INFO msg="broker up" topics=300 failures=1800 after=27s`)
	})
}

// TestLongOutages: what lasts is told of again, less and less often; also of a source
// that publishes something each time before it crashes.
func TestLongOutages(t *testing.T) {
	for name, works := range map[string]bool{"a source that never works": false, "a source that works a little each time": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				change, log, end := outageRig(t, 1)
				for n := range 24 * 240 { // a day
					failures := n + 1
					if works {
						change(well(0, false))
						failures = 1
					}
					change(failure(0, false, failures))
					time.Sleep(15 * time.Second)
				}
				change(well(0, false))
				time.Sleep(time.Minute)
				end()
				lines := strings.Split(strings.TrimSpace(log.String()), "\n")
				if len(lines) < 28 || len(lines) > 36 { // the first hour has seven
					t.Errorf("in a day there are %d lines:\n%s", len(lines), log.String())
				}
				if last := lines[len(lines)-1]; !strings.Contains(last, `INFO msg="source up" topic=t0 failures=5760 after=24h0m0s`) {
					t.Errorf("the last line is %s", last)
				}
			})
		})
	}
}

// TestOutageOfTopicsThatAreRemoved: topics that are removed while the broker fails do
// not keep the outage alive, and others that fail later begin a new one.
func TestOutageOfTopicsThatAreRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		change, log, end := outageRig(t, 3)
		change(failure(0, true, 1))
		time.Sleep(time.Hour)
		change(failure(1, true, 1))
		time.Sleep(10 * time.Second)
		change(failure(2, true, 1))
		time.Sleep(2 * time.Second)
		change(well(1, true))
		change(well(2, true))
		time.Sleep(time.Hour)
		end()
		if got := log.String(); strings.Count(got, "broker failed") != 4 || strings.Count(got, "broker up") != 1 || !strings.Contains(got, "topics=2") {
			t.Errorf("the log says\n%s", got)
		}
	})
}

// A topic that is removed while it fails is no part of the outage any more, which is over
// when the others are well, also if they were before; one that is well for a moment only is
// not told as well. Nothing is known of a broker all of whose failing topics are removed,
// until another topic says how it is.
func TestRemovedInAnOutage(t *testing.T) {
	gone := stream.SourceChange{Topic: "t0", Broker: true, State: stream.SourceEnded}
	failed := []string{`level=WARN msg="broker failed" topics=2 failures=2 error=refused`}
	for name, tc := range map[string]struct {
		then []stream.SourceChange
		want string
	}{
		"removed, then well":               {[]stream.SourceChange{gone, well(1, true)}, `level=INFO msg="broker up" topics=2 failures=2 after=20s`},
		"well, then removed":               {[]stream.SourceChange{well(1, true), gone}, `level=INFO msg="broker up" topics=2 failures=2 after=10s`},
		"all removed":                      {[]stream.SourceChange{gone, {Topic: "t1", Broker: true, State: stream.SourceEnded}}, ``},
		"all removed, then another":        {[]stream.SourceChange{gone, {Topic: "t1", Broker: true, State: stream.SourceEnded}, well(2, true)}, `level=INFO msg="broker up" topics=2 failures=2 after=30s`},
		"all removed, then another failed": {[]stream.SourceChange{gone, {Topic: "t1", Broker: true, State: stream.SourceEnded}, failure(2, true, 1)}, `level=WARN msg="broker failed" topic=t2 topics=1 failures=1 error=refused`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				change, log, end := outageRig(t, 3)
				change(well(2, true))
				change(failure(2, true, 1))
				change(stream.SourceChange{Topic: "t2", Broker: true, State: stream.SourceEnded})
				time.Sleep(time.Hour)
				before := log.String()
				if strings.Contains(before, "broker up") {
					t.Errorf("the log says\n%s", before)
				}
				change(failure(0, true, 1))
				change(failure(1, true, 1))
				for _, c := range tc.then {
					time.Sleep(10 * time.Second)
					change(c)
				}
				time.Sleep(30 * time.Second)
				end()
				want := failed
				if tc.want != "" {
					want = append(want, tc.want)
				}
				if got := strings.TrimSpace(strings.TrimPrefix(log.String(), before)); got != strings.Join(want, "\n") {
					t.Errorf("the log says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
				}
			})
		})
	}
}

// When the end comes, a failure that was to be told a moment later is told at once, and
// nothing after that: the writer may be gone by then.
func TestNothingIsToldAfterTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		happens func(change func(stream.SourceChange))
		last    string
	}{
		"broker up":     {func(change func(stream.SourceChange)) { change(well(0, true)) }, ``},
		"broker failed": {func(change func(stream.SourceChange)) { change(failure(0, true, 1)) }, `level=WARN msg="broker failed" topic=t0 topics=1 failures=1 error=refused`},
		"source failed": {func(change func(stream.SourceChange)) { change(failure(0, false, 1)) }, `level=WARN msg="source failed" topic=t0 failures=1 error=refused`},
		"many sources up": {func(change func(stream.SourceChange)) {
			for n := range 25 {
				change(well(n, false))
			}
		}, `level=INFO msg="source up, and more within a second" more=5`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				change, log, end := outageRig(t, 25)
				tc.happens(change)
				end()
				said := strings.TrimSpace(log.String())
				if said != tc.last && !strings.HasSuffix(said, "\n"+tc.last) {
					t.Errorf("the log says\n%s\nwant at its end\n%s", said, tc.last)
				}
				time.Sleep(2 * time.Hour)
				wantLog(t, log, said)
			})
		})
	}
}
